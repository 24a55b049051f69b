/**
 * Keys of the advisory locks that the engine takes in the user's database: all of them, so that no two are the same.
 * Chosen at random, once, and the same in every version; a lock is per database, and a key of the user's own that is
 * equal to one of these costs waiting and nothing else.
 *
 * Beside these, a chain of audit records locks the hash of its name (audit/statements.ts).
 */

/** Tables are made or repaired: for the transaction, waited for. */
export const MIGRATE_LOCK = 7_263_001_984_517_233
/** A topic is made: for the statement, waited for. */
export const TOPIC_LOCK = 7_263_001_984_517_234
/** A tick is written: for the statement, tried. */
export const TICK_LOCK = 7_263_001_984_517_235
/** Partitions of the log are made and dropped: for the transaction, tried. */
export const RETENTION_LOCK = 7_263_001_984_517_236
/** Workers are looked over: for the statement, tried. */
export const REAP_LOCK = 7_263_001_984_517_240

/** Class of the two-part keys of queues: tasks of it are taken one by one (shared) or as a lot; for the statement. */
export const LOT_CLASS = 1_836_020_002

/** Class of the two-part keys of workers, which their sessions hold while they live. */
const WORKER_CLASS = 1_836_020_001

/** The two parts of a worker's key, as SQL; `id` is an expression of its id. */
export const workerLock = (id: string): string => `${WORKER_CLASS}, (${id} % 2147483648)::int`

/** A condition on pg_locks: the lock of the worker, held or waited for. */
export const isWorkerLock = (id: string): string =>
  `classid = ${WORKER_CLASS} and objid = (${id} % 2147483648)::oid and objsubid = 2`
