/**
 * A queue with a backlog: many jobs ready, more of them delayed. How long a claim takes, and how many jobs a second are
 * done, over the same queue when it was empty; then the same while a transaction that has nothing to do with it stays
 * open, so that the server can clear away nothing of what is done. `--minutes` says how long that is.
 */
import pg from 'pg'
import { z } from 'zod'
import { postgres, type Postgres } from '../src/components/postgres/index.ts'
import { ackTasks } from '../src/engine/tasks/finish.ts'
import { ClaimPosition } from '../src/engine/tasks/claim-position.ts'
import { claimTasks } from '../src/engine/tasks/claim.ts'
import { systemClock } from '../src/core/clock.ts'
import { job, jobs, type Jobs } from '../src/jobs/index.ts'
import { connectComponent } from '../src/testing/connect-component.ts'
import { ratio, type Benchmark, type Row } from './harness/benchmark.ts'
import { freshDatabase, testServer } from './harness/database.ts'
import { median, percentile } from './harness/rounds.ts'
import { batches, Counter } from './queues/queue.ts'

const FILL_BATCH = 5_000
const CLAIM = 200
const PARTS = 10
const LAST = 'under an old transaction, at the end'
const noop = job('noop', z.object({ id: z.number(), to: z.string() }), { concurrency: 200 })

export const benchmark: Benchmark = {
  doc: 'claims and throughput of a queue with a million jobs, and under an old transaction',
  peers: [],
  async run({ quick, minutes = quick ? 0.1 : 1, note }) {
    const ready = quick ? 100_000 : 1_000_000
    const delayed = ready / 5
    const count = quick ? 10_000 : 50_000
    const rounds = quick ? 3 : 5
    const claims = quick ? 100 : 500
    await using server = await testServer()
    await using own = await freshDatabase(server, 'sluice_bench_backlog')
    await using db = await connectComponent(postgres({ dsn: own.dsn }), { name: 'db' })
    await using queue = await connectComponent(jobs(), { required: { postgres: db.api } })
    const rates = async (fills: boolean): Promise<number> => {
      const values: number[] = []
      // The first is for the compiler.
      for (let round = -1; round < rounds; round += 1) {
        if (fills) await fill(queue.api, count)
        const rate = await drain(queue.api, count)
        if (round >= 0) values.push(rate)
      }
      return Math.round(median(values))
    }
    note('the empty queue')
    const empty = await rates(true)
    note(`${ready} ready, ${delayed} delayed`)
    await fill(queue.api, ready)
    await fill(queue.api, delayed, 3_600_000)
    await db.api.execute('analyze sluice.task')
    const waits = await claimTimes(db.api, claims)
    note('behind the backlog')
    const behind = await rates(false)
    note(`${minutes} minutes under an old transaction`)
    await db.api.execute('delete from sluice.task where owner is null')
    const old = await underOldTransaction(own.dsn, queue.api, count, minutes)
    const rows: Row[] = [
      { subject: 'empty queue', value: empty, unit: 'jobs/s' },
      { subject: 'behind the backlog', value: behind, unit: 'jobs/s' },
      ...old.map((rate, index) => ({
        subject: `under an old transaction, tenth ${index + 1} of the time`,
        value: rate,
        unit: 'jobs/s',
      })),
      { subject: LAST, value: Math.round(median(old.slice(-3))), unit: 'jobs/s' },
      { subject: `claim of ${CLAIM}, p50`, value: at(waits, 0.5), unit: 'ms' },
      { subject: `claim of ${CLAIM}, p99`, value: at(waits, 0.99), unit: 'ms' },
      { subject: `claim of ${CLAIM}, longest`, value: at(waits, 1), unit: 'ms' },
    ]
    return {
      settings: { ready, delayed, count, claims, minutes, server: server.version },
      rows,
      ratios: {
        claim_p99_ms: at(waits, 0.99),
        backlog_vs_empty: ratio(rows, 'behind the backlog', 'empty queue'),
        old_transaction_vs_empty: ratio(rows, LAST, 'empty queue'),
      },
    }
  },
}

async function fill(api: Jobs, count: number, delay = 0): Promise<void> {
  for (const items of batches(count, FILL_BATCH)) {
    await api.enqueueMany(
      noop,
      items.map((data) => (delay === 0 ? { data } : { data, delay })),
    )
  }
}

/** Jobs a second; the rest is left where it is. */
async function drain(api: Jobs, count: number): Promise<number> {
  const counter = new Counter(count)
  const worker = api.handle(noop, counter.handler)
  await counter.last
  await worker.stop()
  return (counter.seen / counter.elapsed()) * 1_000
}

/** Milliseconds of claims one after another, sorted; each is ended, as a worker does. */
async function claimTimes(db: Postgres, claims: number): Promise<readonly number[]> {
  const worker = await db.queryOne<{ id: string }>(
    `insert into sluice.worker (name, info, ttl) values ('bench', '{}', '1 hour') returning id::text as id`,
  )
  const queue = await db.queryOne<{ id: number }>('select id from sluice.queue where name = $1', ['noop'])
  const owner = worker?.id ?? ''
  const position = new ClaimPosition(systemClock)
  const waits: number[] = []
  for (let n = 0; n < claims; n += 1) {
    const startedAt = performance.now()
    const tasks = await claimTasks(db, queue?.id ?? 0, owner, CLAIM, position)
    waits.push(performance.now() - startedAt)
    if (tasks.length < CLAIM) throw new Error(`a claim had ${tasks.length} of ${CLAIM} tasks`)
    await ackTasks(db, tasks, owner)
    // Without a sign of life it would be taken for dead.
    await db.execute('update sluice.worker set beat = clock_timestamp() where id = $1', [owner])
  }
  await db.execute('delete from sluice.worker where id = $1', [owner])
  return waits.toSorted((a, b) => a - b)
}

/** The rates of ten parts of the time, of jobs that are put in and done again and again. */
async function underOldTransaction(
  dsn: string,
  api: Jobs,
  count: number,
  minutes: number,
): Promise<readonly number[]> {
  const client = new pg.Client({ connectionString: dsn })
  await client.connect()
  try {
    await client.query('begin isolation level repeatable read')
    await client.query('select pg_current_xact_id()')
    const parts: number[] = []
    const from = performance.now()
    for (let part = 1; part <= PARTS; part += 1) {
      const rates: number[] = []
      while (rates.length === 0 || performance.now() - from < (minutes * 60_000 * part) / PARTS) {
        await fill(api, count)
        rates.push(await drain(api, count))
      }
      parts.push(Math.round(median(rates)))
    }
    return parts
  } finally {
    await client.end()
  }
}

function at(sorted: readonly number[], share: number): number {
  return Number(percentile(sorted, share).toPrecision(3))
}
