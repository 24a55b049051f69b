/**
 * Jobs that do nothing, through sluice and through the queues that people use: put in in bulk, run by one process, and
 * put in one by one by a hundred callers.
 *
 * All of those on PostgreSQL use one server at its own settings, each a database of its own. What is measured is the time
 * from the first handler to the last end that is stored, of a worker in this process; jobs are put in before it starts.
 */
import { ratio, type Benchmark, type Subject } from './harness/benchmark.ts'
import { freshDatabase, testServer, type TestServer } from './harness/database.ts'
import { bullmq } from './queues/bullmq.ts'
import { graphile } from './queues/graphile.ts'
import { pgBoss } from './queues/pg-boss.ts'
import type { Contender, OpenQueue } from './queues/queue.ts'
import { sluice } from './queues/sluice.ts'

const FILL_BATCH = 5_000
const CALLERS = 100

const DEFAULTS = sluice('sluice, defaults')
const TUNED = sluice('sluice, 200 at once', { concurrency: 200 })

export const benchmark: Benchmark = {
  doc: 'jobs that do nothing: in bulk, run, one by one; beside graphile-worker, pg-boss and BullMQ',
  peers: ['graphile-worker', 'pg-boss', 'bullmq'],
  async run({ quick, rounds, note }) {
    const redisUrl = `redis://${process.env['REDIS_ADDR'] ?? '127.0.0.1:6379'}`
    const count = quick ? 5_000 : 20_000
    await using server = await testServer()
    const opened = new Map<Contender, OpenQueue>()
    const stack = new AsyncDisposableStack()
    try {
      for (const contender of [DEFAULTS, TUNED, graphile, pgBoss, bullmq]) {
        note(`opening ${contender.name}`)
        opened.set(contender, await open(contender, server, redisUrl, stack))
      }
      const subjects: Subject[] = []
      for (const [{ name }, queue] of opened) {
        // Filled and run in turns: the run of one round takes what its fill put in.
        subjects.push({ name: `${name}, bulk`, unit: 'jobs/s', measure: () => bulk(queue, count) })
        subjects.push({ name: `${name}, run`, unit: 'jobs/s', measure: () => run(queue, count) })
      }
      const first = await rounds(subjects, { rounds: 5, quickRounds: 3 })
      const singles = await rounds(oneByOne(opened, quick), { rounds: 3, quickRounds: 2 })
      const rows = [...first, ...singles]
      const of = (subject: string, other: string): number => ratio(rows, subject, other)
      return {
        settings: { jobs: count, bulk: FILL_BATCH, callers: CALLERS, server: server.version },
        rows,
        ratios: {
          jobs_vs_graphile_worker: of(`${TUNED.name}, run`, `${graphile.name}, run`),
          jobs_vs_pg_boss: of(`${TUNED.name}, run`, `${pgBoss.name}, run`),
          jobs_vs_bullmq: of(`${TUNED.name}, run`, `${bullmq.name}, run`),
          jobs_defaults_vs_graphile_worker: of(`${DEFAULTS.name}, run`, `${graphile.name}, run`),
          bulk_vs_graphile_worker: of(`${DEFAULTS.name}, bulk`, `${graphile.name}, bulk`),
          bulk_vs_pg_boss: of(`${DEFAULTS.name}, bulk`, `${pgBoss.name}, bulk`),
          enqueue_100_callers_vs_1: of(`${DEFAULTS.name}, 100 callers`, `${DEFAULTS.name}, 1 caller`),
        },
      }
    } finally {
      await stack.disposeAsync()
    }
  },
}

async function open(
  contender: Contender,
  server: TestServer,
  redisUrl: string,
  stack: AsyncDisposableStack,
): Promise<OpenQueue> {
  const name = `sluice_bench_${contender.name.replaceAll(/[^a-z0-9]+/gi, '_').toLowerCase()}`
  const { dsn } = stack.use(await freshDatabase(server, name))
  const queue = await contender.open({ dsn, redisUrl })
  stack.defer(() => queue.close())
  return queue
}

/** Jobs that were put in and not run yet, by queue: a round of bulk may come before or after one of run. */
const stored = new WeakMap<OpenQueue, number>()

async function bulk(queue: OpenQueue, count: number): Promise<number> {
  await empty(queue)
  const startedAt = performance.now()
  await queue.fill(count, FILL_BATCH)
  const elapsed = performance.now() - startedAt
  stored.set(queue, count)
  return (count / elapsed) * 1_000
}

async function run(queue: OpenQueue, count: number): Promise<number> {
  if (stored.get(queue) !== count) await bulk(queue, count)
  stored.delete(queue)
  return (count / (await queue.drain(count))) * 1_000
}

async function empty(queue: OpenQueue): Promise<void> {
  const left = stored.get(queue)
  stored.delete(queue)
  if (left !== undefined) await queue.drain(left)
}

function oneByOne(opened: ReadonlyMap<Contender, OpenQueue>, quick: boolean): Subject[] {
  const subjects: Subject[] = []
  for (const [contender, queue] of opened) {
    if (contender === TUNED) continue
    // A peer's are slow one by one, and a tenth of them says as much.
    const share = contender === DEFAULTS ? 1 : 0.1
    for (const [callers, calls] of [
      [1, quick ? 200 : 1_000],
      [CALLERS, (quick ? 5_000 : 20_000) * share],
    ] as const) {
      subjects.push({
        name: `${contender.name}, ${callers === 1 ? '1 caller' : `${callers} callers`}`,
        unit: 'enqueues/s',
        async measure() {
          let left = calls
          const caller = async (): Promise<void> => {
            while (left-- > 0) await queue.enqueue()
          }
          const startedAt = performance.now()
          await Promise.all(Array.from({ length: callers }, caller))
          const elapsed = performance.now() - startedAt
          await queue.drain(calls)
          return (calls / elapsed) * 1_000
        },
      })
    }
  }
  return subjects
}
