/**
 * What the publishing of an event makes the database do: statements that the driver sends, transactions of the database,
 * and bytes of WAL.
 *
 * Subscriptions exist and are stopped while events are published one at a time, so that the reading is not counted. The
 * server's counts of a session are sure only once it has ended, so each look comes after the publisher has closed; the
 * transactions of opening and closing are in it, shared out over all events.
 */
import { createRequire } from 'node:module'
import pg from 'pg'
import { postgres } from '../../src/components/postgres/index.ts'
import { events } from '../../src/events/index.ts'
import { connectComponent } from '../../src/testing/connect-component.ts'
import { payload } from './queue.ts'
import { NOTED, subscribe } from './topics.ts'

// Ours: the peers brought a copy of their own.
const driver = createRequire(new URL('../../package.json', import.meta.url))('pg') as typeof pg

export interface PublishCost {
  readonly statements: number
  readonly transactions: number
  readonly walBytes: number
}

export async function costOfPublish(dsn: string, subscriptions: number, count: number): Promise<PublishCost> {
  const observer = new pg.Client({ connectionString: dsn })
  await observer.connect()
  try {
    await publishAfter(dsn, 50, subscriptions)
    // The first change of a page after a checkpoint writes the whole page: the same for every count of subscriptions.
    await observer.query('checkpoint')
    const before = await look(observer)
    const statements = await countStatements(() => publishAfter(dsn, count, 0))
    const after = await look(observer)
    return {
      statements: Number((statements / count).toPrecision(3)),
      transactions: Number(((after.transactions - before.transactions) / count).toPrecision(3)),
      walBytes: Math.round((after.wal - before.wal) / count),
    }
  } finally {
    await observer.end()
  }
}

/** Makes the subscriptions, stops them, and publishes one event after another. */
async function publishAfter(dsn: string, count: number, subscriptions: number): Promise<void> {
  await using db = await connectComponent(postgres({ dsn }), { name: 'db' })
  await using component = await connectComponent(events(), { required: { postgres: db.api } })
  for (let at = 0; at < subscriptions; at += 1) {
    const read = subscribe(component.api, `reader-${at}`, { batch: () => {} }, 1_000)
    await read.ready()
    await read.stop()
  }
  for (let n = 0; n < count; n += 1) await component.api.publish(NOTED, payload(n))
}

/** Statements that connections of this thread send meanwhile: those of opening and closing are among them. */
async function countStatements(work: () => Promise<void>): Promise<number> {
  const { Connection } = driver
  const prototype = Connection.prototype as unknown as Record<
    'query' | 'execute',
    (...args: unknown[]) => unknown
  >
  const { query, execute } = prototype
  let count = 0
  prototype.query = function (...args) {
    count += 1
    return query.apply(this, args)
  }
  prototype.execute = function (...args) {
    count += 1
    return execute.apply(this, args)
  }
  try {
    await work()
  } finally {
    Object.assign(prototype, { query, execute })
  }
  return count
}

async function look(observer: pg.Client): Promise<{ readonly transactions: number; readonly wal: number }> {
  const { rows } = await observer.query<{ commits: string; wal: string }>(
    `select (xact_commit + xact_rollback)::text as commits, (pg_current_wal_lsn() - '0/0')::text as wal
     from pg_stat_database where datname = current_database()`,
  )
  return { transactions: Number(rows[0]?.commits), wal: Number(rows[0]?.wal) }
}
