/**
 * No-op async tasks through a pool of ten: under Promise.all, in ten await loops, and without a result.
 *
 * Every subject runs the same function, `async () => {}`. The peers' own habits are kept: fastq is made for one worker
 * function, so its worker calls it; its callback API calls back when the function has settled. A flood of tasks makes
 * its pool each round; the loops use one pool for all rounds, as those of a service do.
 */
import { WorkerPool } from '../src/pool/worker-pool.ts'
import { ratio, type Benchmark, type Subject } from './harness/benchmark.ts'
import { peer } from './harness/peers.ts'

type Task = () => Promise<void>
type Done = (error: unknown) => void
interface Fastq {
  (
    worker: (task: Task, done: Done) => void,
    concurrency: number,
  ): {
    push(task: Task, done: Done): void
    drain: () => void
  }
  promise(worker: (task: Task) => Promise<void>, concurrency: number): { push(task: Task): Promise<void> }
}
type PLimit = (concurrency: number) => (task: Task) => Promise<void>
type PQueue = new (options: { concurrency: number }) => { add(task: Task): Promise<void> }

const WORKERS = 10
const LOOPS = 10
const noop: Task = async () => {}

export const benchmark: Benchmark = {
  doc: 'a worker pool of ten and a million no-op tasks, beside fastq, p-limit and p-queue',
  peers: ['fastq', 'p-limit', 'p-queue'],
  async run({ quick, rounds }) {
    const tasks = quick ? 250_000 : 1_000_000
    const { default: fastq } = await peer<{ default: Fastq }>('fastq')
    const { default: pLimit } = await peer<{ default: PLimit }>('p-limit')
    const { default: PQueue } = await peer<{ default: PQueue }>('p-queue')
    const makePool = (): WorkerPool => new WorkerPool({ name: 'bench', workers: WORKERS, maxWaiting: tasks })

    const submitters: Readonly<Record<string, () => (task: Task) => Promise<void>>> = {
      sluice: () => {
        const pool = makePool()
        return (task) => pool.submit(task)
      },
      'fastq.promise': () => {
        const queue = fastq.promise((task) => task(), WORKERS)
        return (task) => queue.push(task)
      },
      'p-limit': () => pLimit(WORKERS),
      'p-queue': () => {
        const queue = new PQueue({ concurrency: WORKERS })
        return (task) => queue.add(task)
      },
    }

    const subjects: Subject[] = []
    const add = (name: string, body: () => Promise<void>): void => {
      const measure = async (): Promise<number> => {
        const startedAt = performance.now()
        await body()
        return ((performance.now() - startedAt) * 1e6) / tasks
      }
      subjects.push({ name, unit: 'ns/task', measure })
    }
    for (const [name, make] of Object.entries(submitters)) {
      add(`${name}, Promise.all`, () => allAtOnce(make(), tasks))
      const submit = make()
      add(`${name}, await loops`, () => inLoops(submit, tasks))
    }
    add('sluice, post', async () => {
      const pool = makePool()
      for (let i = 0; i < tasks; i += 1) pool.post(noop)
      await pool.drain()
    })
    add('fastq, callback', () => {
      const { promise, resolve } = Promise.withResolvers<void>()
      const queue = fastq((task, finished) => void task().then(() => finished(null), finished), WORKERS)
      queue.drain = resolve
      for (let i = 0; i < tasks; i += 1) queue.push(noop, ignore)
      return promise
    })

    const kept = [busy(makePool()), busyQueues(fastq)]
    const rows = await rounds(subjects)
    if (kept.length === 0) throw new Error('they must live until here')
    return {
      settings: { tasks, workers: WORKERS, loops: LOOPS },
      rows,
      ratios: {
        pool_all_vs_fastq_promise: ratio(rows, 'sluice, Promise.all', 'fastq.promise, Promise.all'),
        pool_loop_vs_fastq_promise: ratio(rows, 'sluice, await loops', 'fastq.promise, await loops'),
        pool_post_vs_fastq_callback: ratio(rows, 'sluice, post', 'fastq, callback'),
      },
    }
  },
}

async function allAtOnce(submit: (task: Task) => Promise<void>, tasks: number): Promise<void> {
  const results = Array.from<Promise<void>>({ length: tasks })
  for (let i = 0; i < tasks; i += 1) results[i] = submit(noop)
  await Promise.all(results)
}

async function inLoops(submit: (task: Task) => Promise<void>, tasks: number): Promise<void> {
  const loop = async (): Promise<void> => {
    for (let i = 0; i < tasks / LOOPS; i += 1) await submit(noop)
  }
  await Promise.all(Array.from({ length: LOOPS }, loop))
}

/**
 * A pool at work, alive through all rounds, as a service has one. Without any, the full collection between rounds throws
 * away the hidden classes of pools and tasks and the code compiled for them, and each round compiles anew.
 */
function busy(pool: WorkerPool): WorkerPool {
  for (let i = 0; i <= WORKERS; i += 1) void pool.submit(never)
  pool.post(never)
  return pool
}

function busyQueues(fastq: Fastq): readonly unknown[] {
  const promised = fastq.promise((task) => task(), 1)
  const calledBack = fastq((task, finished) => void task().then(() => finished(null), finished), 1)
  for (let i = 0; i <= 1; i += 1) {
    void promised.push(never)
    calledBack.push(never, ignore)
  }
  return [promised, calledBack]
}

function never(): Promise<void> {
  return new Promise(() => {})
}

function ignore(): void {}
