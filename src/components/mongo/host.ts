/** What the calls on one database are made with. */
import type { ClientSession } from 'mongodb'
import type { Clock } from '../../core/clock.ts'
import type { Logger } from '../../telemetry/log.ts'
import type { Operations, OperationSpec } from '../../telemetry/operate.ts'
import type { Handle } from './client/handle.ts'
import type { MongoModule } from './client/peer.ts'
import type { OpenSet } from './open-set.ts'
import type { MongoConfig } from './section.ts'

export interface DatabaseHost {
  readonly component: string
  readonly config: MongoConfig
  readonly clock: Clock
  /** Uniform in [0, 1). */
  readonly random: () => number
  readonly log: Logger
  readonly single: Operations
  readonly transactions: Operations
  /** For calls inside of a transaction, which has the limits. */
  readonly inside: Operations
  readonly watching: Operations
  readonly streams: OpenSet
  readonly watches: OpenSet
  /** Name on the server. */
  readonly database: string
  /** The client, at once or when it is connected; or a refusal. */
  handle(signal: AbortSignal): Handle | Promise<Handle>
  module(): MongoModule
}

/** Where calls of a collection run: alone, or in a transaction. */
export interface Scope {
  readonly host: DatabaseHost
  readonly operations: Operations
  readonly session: ClientSession | undefined
  /** Calls of a transaction wait for each other; others do not. */
  inTurn<T>(run: () => Promise<T>): Promise<T>
}

export function plainScope(host: DatabaseHost): Scope {
  return { host, operations: host.single, session: undefined, inTurn: (run) => run() }
}

/** An operation that may be repeated, and the same one when it may not. */
export interface SpecPair {
  readonly repeatable: OperationSpec
  readonly once: OperationSpec
}

export function specPair(name: string): SpecPair {
  return Object.freeze({
    repeatable: Object.freeze({ name, idempotent: true }),
    once: Object.freeze({ name, idempotent: false }),
  })
}
