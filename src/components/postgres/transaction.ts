/**
 * One run of a transaction on a leased connection.
 *
 *     begin ─▶ fn(tx) ─▶ commit ─▶ released
 *                │ rejects, or the signal aborts
 *                └──▶ rollback ─▶ released      (no answer: the connection is destroyed, which rolls back as well)
 *
 * `tx` is closed before the commit is sent, so that no statement can slip in behind it; what the function sent and did
 * not await is in front of the commit, and part of it. A commit that the server answers with ROLLBACK (a statement had
 * failed, and the function caught it) is an error, never a success.
 */
import { waitOrAbort } from '../../core/abort.ts'
import { SluiceError } from '../../core/errors.ts'
import type { Transaction, TransactionOptions } from './api.ts'
import { callAlone } from './callback.ts'
import type { Connection } from './connection.ts'
import { sqlState } from './failures.ts'
import { OwnConnection, type OwnHost } from './own-connection.ts'
import { createQueries } from './queries.ts'
import { specPair } from './send.ts'
import { refuseInTransaction } from './connection-acts.ts'
import type { CursorConnection } from './stream.ts'
import type { TypedConnection } from './typed.ts'

const NESTED = specPair('query')
const NO_ROWS = Object.freeze({ command: null, rowCount: null, rows: [], fields: [] })
const ISOLATIONS = ['read committed', 'repeatable read', 'serializable'] as const
/** A rollback that is not answered by then is left to the server: closing the connection rolls back, too. */
const ROLLBACK_MS = 1_000

export interface Run {
  readonly signal: AbortSignal
  readonly attempt: number
  remainingMs(): number
}

/** Runs `fn` once. The connection is usable afterwards, or destroyed. */
export async function runTransaction<T>(
  host: OwnHost,
  connection: Connection,
  fn: (tx: Transaction) => Promise<T>,
  options: TransactionOptions,
  run: Run,
): Promise<T> {
  const open = new OpenTransaction(host, connection, run)
  const { own } = open
  const abort = (): void => connection.destroy(toSluice(run.signal.reason, host.component))
  run.signal.throwIfAborted()
  run.signal.addEventListener('abort', abort, { once: true })
  try {
    await own.control(beginText(options), open.limitMs)
    run.signal.throwIfAborted()
    // Not for longer than the signal: of a function that ignores it the connection is needed for others.
    const value = await waitOrAbort(fn(open.tx), run.signal)
    const commit = own.control('commit', open.limitMs, false)
    own.closed = true
    if ((await commit).command !== 'COMMIT') throw rolledBack(host.component, own.firstFailure)
    open.runAfterCommit()
    return value
  } catch (error) {
    await open.rollback()
    // A former primary: it takes no writes any more, and a new connection may reach its successor.
    if (options.readOnly !== true && sqlState(error) === '25006') connection.retire()
    throw run.signal.aborted ? run.signal.reason : error
  } finally {
    run.signal.removeEventListener('abort', abort)
    own.tidy()
  }
}

/** Throws SLUICE_INVALID_ARGUMENT. */
export function beginText({ isolation = 'read committed', readOnly }: TransactionOptions): string {
  if (ISOLATIONS.includes(isolation)) {
    return `begin isolation level ${isolation} read ${readOnly === true ? 'only' : 'write'}`
  }
  throw new SluiceError(
    'SLUICE_INVALID_ARGUMENT',
    `transaction.isolation: expected one of ${ISOLATIONS.join(', ')}, got ${JSON.stringify(isolation)}`,
  )
}

function toSluice(reason: unknown, component: string): SluiceError {
  return new SluiceError('SLUICE_UNAVAILABLE', `${component}: the transaction was given up`, {
    component,
    retryable: true,
    cause: reason,
  })
}

class OpenTransaction {
  readonly #host: OwnHost
  readonly #run: Run
  readonly #afterCommit: (() => unknown)[] = []
  #savepoints = 0
  #cursors = 0
  readonly own: OwnConnection
  /** What the function is handed. */
  readonly tx: Transaction

  constructor(host: OwnHost, connection: Connection, run: Run) {
    this.#host = host
    this.#run = run
    const own = new OwnConnection(host, connection, 'transaction', refuseInTransaction)
    this.own = own
    this.tx = {
      ...createQueries({
        component: host.component,
        send: own.send,
        fail: (spec, error) => own.fail(spec, error),
        batch: (list, more) => own.batch(list, more),
        openCursor: () => Promise.resolve(this.#cursor()),
        begin: () => Promise.resolve(this.#nested()),
      }),
      signal: run.signal,
      attempt: run.attempt,
      transaction: (fn) => this.#savepoint(fn),
      afterCommit: (fn) => void this.#afterCommit.push(fn),
      script: (sql, options) => own.script(sql, options),
    }
  }

  /** Of the statements that are not the user's. */
  get limitMs(): number {
    return Math.min(this.#run.remainingMs(), this.#host.controlMs)
  }

  #control(sql: string): Promise<unknown> {
    return this.own.control(sql, this.limitMs)
  }

  async #savepoint<T>(fn: (tx: Transaction) => Promise<T>): Promise<T> {
    const name = `sluice_${++this.#savepoints}`
    await this.#control(`savepoint ${name}`)
    try {
      const value = await fn(this.tx)
      await this.#control(`release savepoint ${name}`)
      return value
    } catch (error) {
      if (!this.own.connection.isClosed) await this.#undo(name)
      throw error
    }
  }

  async #undo(savepoint: string): Promise<void> {
    await this.#control(`rollback to savepoint ${savepoint}; release savepoint ${savepoint}`)
    this.own.firstFailure = undefined
  }

  #cursor(): CursorConnection {
    const name = `sluice_cursor_${++this.#cursors}`
    const { own } = this
    return {
      name,
      send: (spec, sql, params) => own.send(spec, sql, params, undefined, (result) => result),
      finish: async () => {
        // After a failure the transaction is over anyway, and the cursor with it.
        if (own.closed || own.connection.isClosed) return
        await this.#control(`close ${name}`).catch(() => {})
      },
    }
  }

  /** What a query builder takes for a transaction becomes a savepoint of this one. */
  #nested(): TypedConnection {
    const name = `sluice_${++this.#savepoints}`
    const { own } = this
    return {
      query: async (sql, params, extras) => {
        const word = /^\s*(begin|commit|rollback)\s*(?!.*\bto\b)/i.exec(sql)?.[1]?.toLowerCase()
        if (word === 'begin') return own.control(`savepoint ${name}`, this.limitMs)
        if (word === 'commit') return own.control(`release savepoint ${name}`, this.limitMs)
        if (word === 'rollback') {
          await this.#undo(name)
          return NO_ROWS
        }
        if (/^\s*(savepoint|release|rollback)\b/i.test(sql)) return own.control(sql, this.limitMs)
        return own.send(NESTED, sql, params, undefined, (result) => result, extras)
      },
      release: () => Promise.resolve(),
    }
  }

  async rollback(): Promise<void> {
    const { own } = this
    if (own.connection.isClosed) return
    own.closed = false
    await own.control('rollback', ROLLBACK_MS).catch(() => {})
    own.closed = true
  }

  runAfterCommit(): void {
    for (const fn of this.#afterCommit) {
      callAlone(fn, (err) => this.#host.log.error({ err }, 'a function given to afterCommit failed'))
    }
  }
}

/** The server answered a commit with ROLLBACK. */
export function rolledBack(component: string, firstFailure: unknown): SluiceError {
  return new SluiceError(
    'SLUICE_QUERY',
    `${component}: the transaction was rolled back: a statement in it had failed`,
    {
      cause: firstFailure,
      component,
      operation: 'transaction',
      hint: 'Let the error of the statement reach transaction(), or wrap what may fail in tx.transaction().',
    },
  )
}
