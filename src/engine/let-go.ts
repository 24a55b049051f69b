/**
 * A transaction that holds a row which others need: the task that it ends, the cursor that it moves, the run that it
 * finishes. A process that freezes between that and the commit would hold the row for as long as it is frozen, or until
 * the network gives it up, and nobody could go on with the work though its worker is known to be dead.
 */
import { STATEMENT_TIMEOUT_MS, type Transaction } from './database.ts'

const LIMIT = `select set_config('idle_in_transaction_session_timeout', '${STATEMENT_TIMEOUT_MS}', true)`

/**
 * From now on the server ends the transaction when it hears nothing of it for as long as a statement may take. To be
 * sent together with the statement that takes the row: both are one round trip.
 */
export async function letGoWhenIdle(tx: Transaction): Promise<void> {
  await tx.query(LIMIT, [], { label: 'sluice.idle' })
}
