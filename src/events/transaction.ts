/**
 * The transaction that a handler runs in. What goes wrong in it is the delivery's failure, which is counted and tried
 * again as one, unless it says nothing about the delivery:
 *
 *     waiting ──▶ the handler, the place in the log ──▶ commit
 *        │ no connection     │ the shard is another's     │ no answer
 *        └───────────────────┴────────────────────────────┴──▶ thrown: what committed is to be looked up
 *
 * A connection that is lost before the commit was sent counts: nothing of it was done, and a server that closes the
 * connection of each handler that takes its time would otherwise be met again and again.
 */
import { backoffMs } from '../core/backoff.ts'
import { hasCode, isSluiceError, SluiceError, toError, type ErrorCode } from '../core/errors.ts'
import type { Engine } from '../engine/engine.ts'
import type { Transaction } from '../engine/database.ts'
import type { SubscriptionSpec } from './spec.ts'

export interface DeliveryTransaction {
  readonly engine: Pick<Engine, 'db' | 'clock' | 'random'>
  readonly spec: Pick<SubscriptionSpec, 'name' | 'timeoutMs'>
  readonly label: string
  readonly signal: AbortSignal
}

/** The attempt's own timeout comes first, and names the subscription. */
const GRACE_MS = 5_000
/** Until there is a connection. One that is lost later has an attempt behind it. */
const MAX_BEGINS = 6
const BEGIN_BACKOFF = { baseMs: 20, capMs: 500 }

/** Why the delivery failed; undefined where it is done. Rejects where that is not known, or no fault of it. */
export async function inTransaction(
  { engine, spec, label, signal }: DeliveryTransaction,
  deliver: (tx: Transaction) => Promise<void>,
): Promise<Error | undefined> {
  const at: { stage: 'waiting' | 'handler' | 'commit'; failure?: unknown } = { stage: 'waiting' }
  // Its own retries would run the handler again behind the attempt's back.
  const options = { retries: 0, timeout: spec.timeoutMs + GRACE_MS, label, signal }
  for (let begins = 1; ; begins++) {
    try {
      await engine.db.transaction(async (tx) => {
        at.stage = 'handler'
        await deliver(tx).catch((error: unknown) => {
          at.failure = error
          throw error
        })
        at.stage = 'commit'
      }, options)
      return undefined
    } catch (thrown) {
      // As it was, without what the database says around it.
      const error = toError(at.failure ?? thrown)
      signal.throwIfAborted()
      if (at.stage === 'handler' && !hasCode(error, 'SLUICE_LEASE_LOST')) return told(spec.name, error)
      if (at.stage === 'commit' && !hasNoAnswer(error)) return error
      if (at.stage !== 'waiting' || begins === MAX_BEGINS || !hasCode(error, 'SLUICE_UNAVAILABLE'))
        throw error
      await engine.clock.sleep(backoffMs(begins, engine.random(), BEGIN_BACKOFF), { signal })
    }
  }
}

const NO_ANSWER: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'SLUICE_OUTCOME_UNKNOWN',
  'SLUICE_UNAVAILABLE',
  'SLUICE_CLOSED',
  'SLUICE_CANCELLED',
  'SLUICE_SHUTDOWN',
])

/** The commit may have taken effect. A timeout of the server's own is its answer. */
function hasNoAnswer(error: Error): boolean {
  if (!isSluiceError(error)) return false
  return NO_ANSWER.has(error.code) || (error.code === 'SLUICE_TIMEOUT' && sqlState(error) === undefined)
}

function sqlState(error: Error): unknown {
  return isSluiceError(error) ? error.details?.['sqlstate'] : undefined
}

/** Says what is behind it where the handler caught the error of a statement: the server takes no others then. */
function told(subscription: string, error: Error): Error {
  if (sqlState(error) !== '25P02') return error
  return new SluiceError(
    'SLUICE_QUERY',
    `subscription "${subscription}": the handler went on after a statement of its transaction had failed`,
    {
      cause: error,
      hint: 'Let the error of the statement reach the caller, or wrap what may fail in tx.transaction().',
    },
  )
}
