/**
 * Puts a connection back as it was opened, after a transaction that may have left something on it: a script, a block of
 * code, a session lock. One round trip, behind the back of the caller, who has its answer already. It is DISCARD ALL
 * without what we prepared.
 */
import type { Clock } from '../../core/clock.ts'
import type { Connection } from './connection.ts'
import { Request } from './request.ts'
import { describe } from './statement.ts'

const RESTORE = describe(
  'close all; set session authorization default; reset role; reset all; unlisten *; ' +
    'select pg_catalog.pg_advisory_unlock_all(); discard temp; discard sequences',
)
/** A connection that is not as it was by then is closed. */
const RESTORE_MS = 1_000

/** Never rejects: what cannot be restored is closed. */
export async function restored(connection: Connection, clock: Clock): Promise<void> {
  const request = new Request(RESTORE, undefined, { repeatable: false, script: true })
  connection.send(request, RESTORE_MS, clock.monotonic())
  try {
    await request.promise
    connection.soiled = false
  } catch {
    connection.destroy(undefined)
  }
  // A setting that the server itself has another idea of by now.
  if (connection.isSoiled) connection.retire()
}
