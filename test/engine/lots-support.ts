/** Tasks in lots, on a database of the test's own. */
import type { Postgres } from '../../src/components/postgres/index.ts'
import { ClaimPosition } from '../../src/engine/tasks/claim-position.ts'
import { takeLot } from '../../src/engine/tasks/lots.ts'
import type { HeldTask, Lot, NewTask } from '../../src/engine/tasks/task.ts'
import { ManualClock } from '../../src/testing/manual-clock.ts'
import { durableDatabase } from '../support/durable-database.ts'
import { newTask, openTables } from './tasks-support.ts'

export const options = { timeout: 60_000 }

export interface OpenLots extends AsyncDisposable {
  readonly db: Postgres
  readonly dsn: string
}

export async function openLots(): Promise<OpenLots> {
  const stack = new AsyncDisposableStack()
  const own = stack.use(await durableDatabase())
  const tables = stack.use(await openTables(own.dsn, { maxOpenConns: 16 }))
  return { db: tables.db, dsn: own.dsn, [Symbol.asyncDispose]: () => stack.disposeAsync() }
}

export async function take(db: Postgres, worker: string, limit: number): Promise<HeldTask[]> {
  return (await takeLot(db, 1, worker, limit, new ClaimPosition(new ManualClock()), () => 0)).tasks
}

/** Their bodies are their numbers. */
export function many(length: number, task: Partial<NewTask> = {}): NewTask[] {
  return Array.from({ length }, (_, n) => newTask({ body: String(n), ...task }))
}

export async function count(db: Postgres, table: 'task' | 'lot' | 'dead'): Promise<number> {
  return (await db.queryOne<{ n: number }>(`select count(*)::int as n from sluice.${table}`))!.n
}

export function ids(tasks: readonly HeldTask[]): string[] {
  return tasks.map(({ id }) => id)
}

export function lotsOf(tasks: readonly HeldTask[]): Lot[] {
  return [...new Set(tasks.flatMap(({ lot }) => lot ?? []))]
}
