/** A connection that belongs to one transaction, session or cursor, until it is closed. */
import type { AsyncResult } from '../../core/async-result.ts'
import { SluiceError, toError } from '../../core/errors.ts'
import type { Clock } from '../../core/clock.ts'
import type { Logger } from '../../telemetry/log.ts'
import type { CallOptions, OperationSpec, Operations } from '../../telemetry/operate.ts'
import type { BatchStatement } from './api.ts'
import { partsOf, sendParts, type BatchAnswer } from './batch.ts'
import type { Connection } from './connection.ts'
import type { DriverResult } from './driver.ts'
import { type Send, type SendExtras, specPair } from './send.ts'
import { Request } from './request.ts'
import { describe, refuseNul, type Statement, type Statements } from './statement.ts'

export interface OwnHost {
  readonly component: string
  readonly log: Logger
  readonly clock: Clock
  readonly statements: Statements
  /** Without slots of their own: who holds a connection must not wait for who waits for one. */
  readonly inside: Operations
  /** Limit of statements that no caller gave one, such as begin and commit. */
  readonly controlMs: number
}

const BATCH = specPair('batch')
const SCRIPT = specPair('script')

export class OwnConnection {
  readonly #host: OwnHost
  readonly #refuse: (statement: Statement) => void
  readonly connection: Connection
  readonly #what: string
  /** No statement is taken any more. */
  closed = false
  /** The first statement that failed: why a commit became a rollback. */
  firstFailure: unknown

  constructor(host: OwnHost, connection: Connection, what: string, refuse: (statement: Statement) => void) {
    this.#host = host
    this.connection = connection
    this.#what = what
    this.#refuse = refuse
  }

  /** Operations of the user. Repeating one of them is never right: it is the whole that runs again. */
  readonly send: Send = (spec, sql, params, options, read, extras) =>
    this.#host.inside.run(
      spec.once,
      (call) => {
        const statement = this.#host.statements.of(sql)
        this.#refuse(statement)
        return this.raw(statement, call.remainingMs, true, params, extras).then(read)
      },
      options,
    )

  fail<T>(spec: OperationSpec, error: unknown): AsyncResult<T> {
    return this.#host.inside.run<T>(spec, () => Promise.reject(toError(error)))
  }

  batch(list: readonly BatchStatement[], options?: CallOptions): AsyncResult<readonly BatchAnswer[]> {
    const { component, statements, inside } = this.#host
    return inside.run(
      BATCH.once,
      (call) =>
        sendParts(component, partsOf(list, statements, this.#refuse), ({ statement, params }) =>
          this.raw(statement, call.remainingMs, true, params),
        ),
      options,
    )
  }

  script(sql: string, options?: CallOptions): AsyncResult<void> {
    return this.#host.inside.run(
      SCRIPT.once,
      async (call) => {
        refuseNul(sql)
        // Its text may hold anything, and what it calls even more.
        this.connection.soiled = true
        await this.control(sql, call.remainingMs)
      },
      options,
    )
  }

  /** Sends text of several statements, or one that is not the user's. */
  control(sql: string, limitMs: number, repeatable = true): Promise<DriverResult> {
    return this.raw(describe(sql), limitMs, repeatable, undefined, undefined, true)
  }

  /** `repeatable` false: without an answer nobody knows what happened. */
  async raw(
    statement: Statement,
    limitMs: number,
    repeatable: boolean,
    params?: readonly unknown[],
    extras?: SendExtras,
    script = false,
  ): Promise<DriverResult> {
    if (this.closed) throw this.#closedError()
    if (this.connection.isClosed) throw this.#lost()
    if (statement.leaves) this.connection.soiled = true
    const request = new Request(statement, params, { repeatable, script, ...extras })
    this.connection.send(request, limitMs, this.#host.clock.monotonic())
    try {
      return await request.promise
    } catch (error) {
      this.firstFailure ??= error
      throw error
    }
  }

  /** Is a transaction open on it? */
  get inTransaction(): boolean {
    return this.connection.client.getTransactionStatus() !== 'I'
  }

  /** Before it goes back: what is in an unknown state is closed. */
  tidy(): void {
    this.closed = true
    const { connection } = this
    if (connection.isClosed || (connection.inFlight === 0 && !this.inTransaction)) return
    connection.destroy(this.#lost())
  }

  #closedError(): SluiceError {
    const { component } = this.#host
    return new SluiceError('SLUICE_CLOSED', `${component}: the ${this.#what} has ended`, {
      component,
      hint: `Await what you do in the ${this.#what} before its function returns.`,
    })
  }

  #lost(): SluiceError {
    const { component } = this.#host
    return new SluiceError(
      'SLUICE_UNAVAILABLE',
      `${component}: the connection of the ${this.#what} was lost`,
      {
        component,
        retryable: true,
      },
    )
  }
}
