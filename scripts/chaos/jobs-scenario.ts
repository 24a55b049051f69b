/** Jobs: by themselves, in transactions, rolled back, in the order of a key. */
import type pg from 'pg'
import { InTransaction, Keyed, Plain } from './programs/jobs.ts'
import type { Scenario } from './scenario.ts'

export const jobsScenario: Scenario = {
  name: 'jobs',
  worker: new URL('./programs/jobs-worker.ts', import.meta.url),
  client: new URL('./programs/jobs-client.ts', import.meta.url),
  readers: [
    { name: Plain.name, transactional: false, sees: ({ kind }) => kind === 'plain' },
    { name: InTransaction.name, transactional: true, sees: ({ kind }) => kind === 'tx' },
    { name: Keyed.name, transactional: false, sees: ({ kind }) => kind === 'keyed' },
  ],
  workerMoments: [
    'jobs.claimed',
    'handler.effect',
    'jobs.committing',
    'jobs.handled',
    'jobs.acked',
    'jobs.failed',
    'jobs.released',
  ],
  clientMoments: ['jobs.enqueue', 'jobs.enqueued'],
  left: (db) => countRows(db, 'sluice.task'),
  dead: (db) => countRows(db, 'sluice.dead'),
}

export async function countRows(db: pg.Client, table: string): Promise<number> {
  const { rows } = await db.query<{ n: number }>(`select count(*)::int as n from ${table}`)
  return rows[0]?.n ?? 0
}
