/**
 * A transaction that is run again when it lost against another, and is never run again once it may have been committed.
 *
 *     begin ─▶ fn ──┬─ done ─▶ commit ──┬─ committed
 *       ▲           │                   ├─ UnknownTransactionCommitResult ─▶ commit again, the same
 *       │           │                   └─ TransientTransactionError ─┐
 *       └── back-off ◀── TransientTransactionError ─▶ abort ──────────┘
 *
 * The driver's own `withTransaction` repeats for two minutes whatever the caller's deadline is; this one ends with it. A
 * commit whose answer was lost is sent again, which MongoDB makes harmless; if nobody answers until the end, it is
 * SLUICE_OUTCOME_UNKNOWN.
 */
import type { ClientSession, Document } from 'mongodb'
import { deriveController, waitOrAbort } from '../../core/abort.ts'
import type { AsyncResult } from '../../core/async-result.ts'
import { backoffMs } from '../../core/backoff.ts'
import { hasCode, invalidArgument, SluiceError } from '../../core/errors.ts'
import type { Call } from '../../telemetry/operate.ts'
import type { CollectionOptions, Transaction, TransactionOptions } from './api.ts'
import { callOptions } from './call.ts'
import { hasLabel, mongoError } from './client/errors.ts'
import type { Handle } from './client/handle.ts'
import { transactionCollection } from './collection.ts'
import type { DatabaseHost, Scope } from './host.ts'

const TRANSACTION = Object.freeze({ name: 'transaction', idempotent: false })
const MAX_RETRIES = 20
const DEFAULT_RETRIES = 5
const BACKOFF = { baseMs: 10, capMs: 500 } as const
/** The server forgets a transaction that nobody ends after a minute; ending it is not worth more of the caller's time. */
const ABORT_LIMIT_MS = 1_000
const COMMIT_MARGIN_MS = 100
const MAX_COMMIT_MS = 3_600_000

type Body<R> = (tx: Transaction) => PromiseLike<R>

export function transaction<R>(
  host: DatabaseHost,
  fn: Body<R>,
  options: TransactionOptions = {},
): AsyncResult<R> {
  const { retries = DEFAULT_RETRIES } = options
  return host.transactions.run(
    TRANSACTION,
    async (call) => {
      if (!Number.isInteger(retries) || retries < 0 || retries > MAX_RETRIES)
        throw invalidArgument('retries', `a whole number from 0 to ${MAX_RETRIES}`, retries)
      const handle = await host.handle(call.signal)
      await refuseStandalone(host.component, handle, call.signal)
      return runRetrying(host, handle, fn, options, retries, call)
    },
    callOptions(options),
  )
}

async function refuseStandalone(component: string, handle: Handle, signal: AbortSignal): Promise<void> {
  let topology
  try {
    topology = await handle.learn(signal)
  } catch (error) {
    if (signal.aborted) throw error
    throw mongoError(error, { component, what: 'transaction', repeatable: true })
  }
  if (topology !== 'standalone') return
  throw new SluiceError('SLUICE_UNSUPPORTED', `${component}: the server is no part of a replica set`, {
    component,
    hint: 'Transactions need a replica set, of one member at least: mongod --replSet, then rs.initiate().',
  })
}

async function runRetrying<R>(
  host: DatabaseHost,
  handle: Handle,
  fn: Body<R>,
  options: TransactionOptions,
  retries: number,
  call: Call,
): Promise<R> {
  const { signal } = call
  for (let attempt = 1; ; attempt++) {
    try {
      return await runOnce(host, handle, fn, options, attempt, call)
    } catch (error) {
      if (signal.aborted || attempt > retries || !hasLabel(error, 'TransientTransactionError')) throw error
      await host.clock.sleep(backoffMs(attempt, host.random(), BACKOFF), { signal })
    }
  }
}

/** Each run has a session of its own: that of the one before may still be trying to reach a server that is gone. */
async function runOnce<R>(
  host: DatabaseHost,
  handle: Handle,
  fn: Body<R>,
  { readConcern, readPreference, writeConcern }: TransactionOptions,
  attempt: number,
  call: Call,
): Promise<R> {
  const session = handle.client.startSession()
  try {
    session.startTransaction({
      ...(readConcern !== undefined && { readConcern }),
      ...(readPreference !== undefined && { readPreference }),
      ...(writeConcern !== undefined && { writeConcern }),
    })
    const result = await waitOrAbort(fn(handOut(host, session, attempt)), call.signal)
    await commit(host, session, call)
    return result
  } catch (error) {
    // Not after a commit of which nobody knows: it may have been done.
    if (session.inTransaction() && !hasCode(error, 'SLUICE_OUTCOME_UNKNOWN'))
      await limited(host, session.abortTransaction())
    throw error
  } finally {
    await limited(host, session.endSession())
  }
}

function handOut(host: DatabaseHost, session: ClientSession, attempt: number): Transaction {
  let last: Promise<unknown> = Promise.resolve()
  const scope: Scope = {
    host,
    operations: host.inside,
    session,
    inTurn: (run) => {
      const result = last.then(run)
      last = result.catch(() => undefined)
      return result
    },
  }
  return {
    attempt,
    collection: <T extends Document>(name: string, options?: CollectionOptions<T>) =>
      transactionCollection<T>(scope, name, options),
  }
}

/** Ends a little before the deadline, so that the caller hears that it is not known, and not only that it was late. */
async function commit(host: DatabaseHost, session: ClientSession, call: Call): Promise<void> {
  const { component, clock } = host
  const what = 'commit of the transaction'
  const { controller, release } = deriveController(call.signal)
  const { signal } = controller
  const limitMs = Math.min(MAX_COMMIT_MS, call.remainingMs)
  const timer = clock.setTimer(
    () =>
      controller.abort(
        new SluiceError('SLUICE_OUTCOME_UNKNOWN', `${component}: ${what}: nobody answered in time`, {
          component,
          hint: 'Look whether its changes are there before it is run again.',
        }),
      ),
    limitMs - Math.min(COMMIT_MARGIN_MS, limitMs / 10),
  )
  try {
    for (let attempt = 1; ; attempt++) {
      try {
        await waitOrAbort(session.commitTransaction(), signal)
        return
      } catch (error) {
        if (signal.aborted) throw error
        if (!hasLabel(error, 'UnknownTransactionCommitResult'))
          throw mongoError(error, { component, what, repeatable: false })
        await clock.sleep(backoffMs(attempt, host.random(), BACKOFF), { signal })
      }
    }
  } finally {
    timer.cancel()
    release()
  }
}

async function limited(host: DatabaseHost, ending: Promise<void>): Promise<void> {
  const over = new AbortController()
  await Promise.race([
    ending.catch(() => undefined),
    host.clock.sleep(ABORT_LIMIT_MS, { signal: over.signal }).catch(() => undefined),
  ])
  over.abort()
}
