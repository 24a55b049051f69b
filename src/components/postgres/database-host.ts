/** What the calls on a database are made with. */
import type { Operations } from '../../telemetry/operate.ts'
import type { Listener } from './listener.ts'
import type { OwnHost } from './own-connection.ts'
import type { ConnectionPool } from './pool.ts'

export interface DatabaseHost extends OwnHost {
  readonly random: () => number
  /** For single statements. */
  readonly single: Operations
  /** For what has a connection of its own. */
  readonly transactions: Operations
  /** The connections, or a refusal (thrown). Made by `connect`. */
  pool(): ConnectionPool
  listener(): Listener
}

/** Limit of a statement that ends what the caller is done with. */
export const END_MS = 1_000
