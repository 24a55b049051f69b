/**
 * One subject of the benchmark `pool`: its name and the number of tasks are its arguments.
 *
 * Every subject runs the same function, `async () => {}`. The peers' own habits are kept: fastq is made for one worker
 * function, so its worker calls it; its callback API calls back when the function has settled. A flood of tasks makes
 * its pool each round; the loops use one pool for all rounds, as those of a service do.
 */
import { WorkerPool } from '../../src/pool/worker-pool.ts'
import { peer } from '../harness/peers.ts'
import { collectGarbage } from '../harness/rounds.ts'
import { answerRounds } from '../harness/subject-process.ts'

type Task = () => Promise<void>
type Submit = (task: Task) => Promise<void>
type Done = (error: unknown) => void
interface Fastq {
  (
    worker: (task: Task, done: Done) => void,
    concurrency: number,
  ): {
    push(task: Task, done: Done): void
    drain: () => void
  }
  promise(worker: Submit, concurrency: number): { push: Submit }
}
type PLimit = (concurrency: number) => Submit
type PQueue = new (options: { concurrency: number }) => { add: Submit }

const WORKERS = 10
const LOOPS = 10
const WARM_UP = 20_000
const [subject = '', count] = process.argv.slice(2)
let tasks = Number(count)
const noop: Task = async () => {}
const makePool = (): WorkerPool =>
  new WorkerPool({ name: 'bench', workers: WORKERS, maxWaiting: Number(count) })

const [who, how] = subject.split(':')
const body = how === 'post' ? await poster() : how === 'all' ? await allAtOnce() : await inLoops()
answerRounds(async () => {
  // Each round begins with an empty heap. A full collection throws away type feedback as well, of which a short round
  // makes new: otherwise two speeds appear with the same code.
  collectGarbage()
  tasks = WARM_UP
  for (let i = 0; i < 3; i += 1) await body()
  tasks = Number(count)
  const startedAt = performance.now()
  await body()
  return ((performance.now() - startedAt) * 1e6) / tasks
})

/** Makes pools of the subject. */
async function pools(): Promise<() => Submit> {
  if (who === 'fastq') {
    const { default: fastq } = await peer<{ default: Fastq }>('fastq')
    return () => {
      const queue = fastq.promise((task) => task(), WORKERS)
      return (task) => queue.push(task)
    }
  }
  if (who === 'p-limit') {
    const { default: pLimit } = await peer<{ default: PLimit }>('p-limit')
    return () => pLimit(WORKERS)
  }
  if (who === 'p-queue') {
    const { default: PQueue } = await peer<{ default: PQueue }>('p-queue')
    return () => {
      const queue = new PQueue({ concurrency: WORKERS })
      return (task) => queue.add(task)
    }
  }
  return () => {
    const pool = makePool()
    return (task) => pool.submit(task)
  }
}

async function allAtOnce(): Promise<() => Promise<void>> {
  const make = await pools()
  return async () => {
    const submit = make()
    const results = Array.from<Promise<void>>({ length: tasks })
    for (let i = 0; i < tasks; i += 1) results[i] = submit(noop)
    await Promise.all(results)
  }
}

async function inLoops(): Promise<() => Promise<void>> {
  const submit = (await pools())()
  const loop = async (): Promise<void> => {
    for (let i = 0; i < tasks / LOOPS; i += 1) await submit(noop)
  }
  return async () => {
    await Promise.all(Array.from({ length: LOOPS }, loop))
  }
}

async function poster(): Promise<() => Promise<void>> {
  if (who === 'sluice') {
    return async () => {
      const pool = makePool()
      for (let i = 0; i < tasks; i += 1) pool.post(noop)
      await pool.drain()
    }
  }
  const { default: fastq } = await peer<{ default: Fastq }>('fastq')
  return () => {
    const { promise, resolve } = Promise.withResolvers<void>()
    const queue = fastq((task, finished) => void task().then(() => finished(null), finished), WORKERS)
    queue.drain = resolve
    for (let i = 0; i < tasks; i += 1) queue.push(noop, ignore)
    return promise
  }
}

function ignore(): void {}
