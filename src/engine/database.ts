/**
 * What the engine needs of a database: the API of the postgres component, by its type alone.
 *
 * Every statement of the engine names the schema, holds no values, and has a limit of its own below the pause after which
 * another process may take a dead worker's tasks; a statement that is still under way by then could act for a worker
 * that is no more.
 */
import type { Postgres, Queryable, Transaction } from '../components/postgres/api.ts'

export type EngineDatabase = Postgres
export type { Queryable, Transaction }

/** Limit of a statement that acts for a worker (claim, ack, cursor): below `FREE_AFTER_SILENCE_MS` in worker/timing.ts. */
export const STATEMENT_TIMEOUT_MS = 3_000
