/**
 * The times of liveness. They hang together: a worker that is taken for dead must not be able to act any more when its
 * tasks are freed, so the pause before that is longer than any statement that acts for it may take.
 */

/** Between two heartbeats. */
export const BEAT_EVERY_MS = 1_000
/** Between two looks for workers that died. */
export const LOOK_EVERY_MS = 500
/** A worker whose session lock is free is dead when it was not heard of for this long: its process is gone. */
export const DEAD_WITHOUT_LOCK_MS = 3_000
/** A worker that holds its lock, or cannot have one, is dead after this long: it is frozen or cut off. */
export const DEAD_AFTER_MS = 8_000
/** From being marked dead to being freed, where its process is gone: a little less than two looks. */
export const FREE_AFTER_CRASH_MS = 900
/** The same where it may only be frozen: longer than STATEMENT_TIMEOUT_MS. */
export const FREE_AFTER_SILENCE_MS = 4_000
/**
 * A worker gives up its lease by itself when its last heartbeat is this old: before others may start its tasks, and
 * without an answer of the database.
 */
export const GIVE_UP_AFTER_MS = DEAD_AFTER_MS + FREE_AFTER_SILENCE_MS - BEAT_EVERY_MS
/** Nobody is taken for dead before this has passed since the server's start or a reconnect: others come back as well. */
export const RETURN_MS = 5_000
/** Limit of a statement of the heart. */
export const BEAT_LIMIT_MS = 3_000
