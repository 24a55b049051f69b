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
import { hasCode, isSluiceError, SluiceError, toError, type ErrorCode } from '../core/errors.ts'
import type { Engine } from '../engine/engine.ts'
import type { Transaction } from '../engine/database.ts'
import type { SubscriptionSpec } from './spec.ts'

export interface DeliveryTransaction {
  readonly engine: Pick<Engine, 'db'>
  readonly spec: Pick<SubscriptionSpec, 'name'>
  readonly label: string
  readonly signal: AbortSignal
}

/** Why the delivery failed; undefined where it is done. Rejects where that is not known, or no fault of it. */
export async function inTransaction(
  { engine, spec, label, signal }: DeliveryTransaction,
  deliver: (tx: Transaction) => Promise<void>,
): Promise<Error | undefined> {
  const at: { stage: 'waiting' | 'handler' | 'commit' } = { stage: 'waiting' }
  try {
    await engine.db.transaction(
      async (tx) => {
        at.stage = 'handler'
        await deliver(tx)
        at.stage = 'commit'
      },
      { label, signal },
    )
    return undefined
  } catch (thrown) {
    const error = toError(thrown)
    signal.throwIfAborted()
    if (at.stage === 'waiting' || hasCode(error, 'SLUICE_LEASE_LOST')) throw error
    if (at.stage === 'commit' && hasNoAnswer(error)) throw error
    return wentOn(error) ? afterAFailure(spec.name, error) : error
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

/** The handler caught the error of a statement, and the server takes no others in that transaction. */
function wentOn(error: Error): boolean {
  return sqlState(error) === '25P02'
}

function sqlState(error: Error): unknown {
  return isSluiceError(error) ? error.details?.['sqlstate'] : undefined
}

function afterAFailure(subscription: string, cause: Error): SluiceError {
  return new SluiceError(
    'SLUICE_QUERY',
    `subscription "${subscription}": the handler went on after a statement of its transaction had failed`,
    {
      cause,
      hint: 'Let the error of the statement reach the caller, or wrap what may fail in tx.transaction().',
    },
  )
}
