/** The engine's tables without an engine: what statements do, one by one. Queues 1 and 2 are there. */
import { postgres, type Postgres, type PostgresOptions } from '../../src/components/postgres/index.ts'
import { migrateEngine } from '../../src/engine/migrate.ts'
import type { NewTask } from '../../src/engine/tasks/task.ts'
import { connectComponent } from '../../src/testing/connect-component.ts'
import { durableDatabase } from '../support/durable-database.ts'

export interface Tables extends AsyncDisposable {
  readonly db: Postgres
}

/** The same on an empty database of their own, dropped at the end. */
export async function ownTables(options: PostgresOptions = {}): Promise<Tables> {
  const stack = new AsyncDisposableStack()
  try {
    const { dsn } = stack.use(await durableDatabase())
    const { db } = stack.use(await openTables(dsn, options))
    return { db, [Symbol.asyncDispose]: () => stack.disposeAsync() }
  } catch (error) {
    await stack.disposeAsync()
    throw error
  }
}

export async function openTables(dsn: string, options: PostgresOptions = {}): Promise<Tables> {
  const component = await connectComponent(postgres({ dsn, ...options }), { name: 'db' })
  const { api: db } = component
  await migrateEngine(db)
  await db.execute(`insert into sluice.queue (name) values ('one'), ('two') on conflict do nothing`)
  return { db, [Symbol.asyncDispose]: () => component.close() }
}

/** The id of a worker that nobody takes for dead, because nobody looks. */
export async function worker(db: Postgres): Promise<string> {
  const row = await db.queryOne<{ id: string }>(`insert into sluice.worker (name) values ('w') returning id`)
  return row!.id
}

export function newTask(task: Partial<NewTask>): NewTask {
  return { queue: 1, prio: 5, shard: 0, delay: 0, max_attempt: 5, body: '{}', ...task }
}
