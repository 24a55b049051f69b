/** Handlers in the thread pool. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { z } from 'zod'
import { postgres } from '../../src/components/postgres/index.ts'
import { threads } from '../../src/components/threads/index.ts'
import { job, jobs, type JobInfo, type Jobs } from '../../src/jobs/index.ts'
import { connectComponent } from '../../src/testing/connect-component.ts'
import { durableDatabase } from '../support/durable-database.ts'
import { testJobs } from './support.ts'

const options = { timeout: 60_000 }
const TASK = new URL('./threads-task.ts', import.meta.url)
const data = z.object({ do: z.enum(['sum', 'loop', 'crash', 'throw']), upTo: z.number() })
// On a slow day the start of a thread takes longer than the timeout: then there is another attempt.
const Sum = job('sum', data, { attempts: 30, backoff: { base: 1 }, timeout: '1s', keepResult: '1h' })

test('a job runs in a thread, and what it returns is its result', options, async () => {
  await using it = await withThreads()
  it.jobs.handle(Sum, TASK)
  const { id } = await it.jobs.enqueue(Sum, { do: 'sum', upTo: 100 })
  const info = await ended(it.jobs, id)
  const { sum, isLastAttempt } = info.result as Result
  assert.deepEqual([sum, isLastAttempt], [5_050, false])
})

test('a failure, a crash and a loop each fail the attempt, and the next one runs', options, async () => {
  await using it = await withThreads()
  it.jobs.handle(Sum, TASK)
  for (const each of ['throw', 'crash', 'loop'] as const) {
    const { id } = await it.jobs.enqueue(Sum, { do: each, upTo: 4 })
    const info = await ended(it.jobs, id)
    const { sum, attempt } = info.result as Result
    assert.equal(sum, 10, each)
    assert.ok(attempt > 1, each)
    assert.equal(info.attempt, attempt)
  }
})

test('a cancel ends a loop in a thread, and its slot is free again', options, async () => {
  await using it = await withThreads()
  const Loop = job('loop', data, { attempts: 1, timeout: '5m', concurrency: 1, keepResult: '1h' })
  it.jobs.handle(Loop, TASK)
  const { id } = await it.jobs.enqueue(Loop, { do: 'loop', upTo: 0 })
  while ((await it.jobs.get(id))?.state !== 'running');
  assert.equal(await it.jobs.cancel(id), true)
  const next = await it.jobs.enqueue(Loop, { do: 'sum', upTo: 3 })
  const info = await ended(it.jobs, next.id)
  assert.equal((info.result as Result).sum, 6)
  assert.equal(await it.jobs.get(id), undefined)
})

test('a thread that ends and a task that throws leave the error of each attempt', options, async () => {
  await using it = await withThreads()
  const Once = job('once', data, { attempts: 1, timeout: '1m' })
  it.jobs.handle(Once, TASK)
  for (const [each, says] of [
    ['throw', /the task failed/],
    ['crash', /exit|7/],
  ] as const) {
    const { id } = await it.jobs.enqueue(Once, { do: each, upTo: 1 })
    const info = await ended(it.jobs, id)
    assert.equal(info.state, 'dead')
    assert.match(info.errors[0]?.error ?? '', says)
  }
})

test('without a thread pool such a handler is refused by name', options, async () => {
  await using it = await testJobs()
  const lines: string[] = []
  const log = {
    debug: () => {},
    info: () => {},
    warn: () => {},
    error: (what: string | object) =>
      void lines.push(
        JSON.stringify(what, (_, value: unknown) => (value instanceof Error ? value.message : value)),
      ),
    child: () => log,
  }
  const peer = await it.peer({}, { log })
  peer.api.handle(Sum, TASK)
  const Plain = job('plain', z.number())
  const ran = Promise.withResolvers<void>()
  peer.api.handle(Plain, () => ran.resolve())
  await it.jobs.enqueue(Plain, 1)
  await ran.promise
  assert.match(lines.join('\n'), /thread/)
})

interface Result {
  readonly sum: number
  readonly attempt: number
  readonly isLastAttempt: boolean
}

async function withThreads(): Promise<AsyncDisposable & { readonly jobs: Jobs }> {
  const stack = new AsyncDisposableStack()
  const { dsn } = stack.use(await durableDatabase())
  const db = stack.use(await connectComponent(postgres({ dsn }), { name: 'db' }))
  const pool = stack.use(await connectComponent(threads({ maxThreads: 2 }), { name: 'threads' }))
  const open = stack.use(
    await connectComponent(jobs({ pollInterval: 100 }), {
      required: { postgres: db.api, threads: pool.api },
    }),
  )
  return { jobs: open.api, [Symbol.asyncDispose]: () => stack.disposeAsync() }
}

/** Asks until it is over: there is no event for that across processes. */
async function ended(on: Jobs, id: string): Promise<JobInfo> {
  for (;;) {
    const info = await on.get(id)
    if (info?.state === 'done' || info?.state === 'dead') return info
  }
}
