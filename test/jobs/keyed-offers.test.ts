/** Jobs with keys on one queue, whose processes have handlers of different names. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { z } from 'zod'
import { job, type JobContext } from '../../src/jobs/index.ts'
import { Unhandled } from '../../src/jobs/unhandled.ts'
import { aborted, openEngine } from '../engine/leases-support.ts'
import { eventually, testJobs, type TestJobs } from './support.ts'

const options = { timeout: 60_000 }
const data = z.object({ key: z.string(), at: z.number() })
const shared = { queue: 'shared', attempts: 50, backoff: { base: 1, max: 2 } } as const
const X = job('x', data, shared)
const Y = job('y', data, shared)
type Data = z.infer<typeof data>

test('two processes, each with one of two names, run all jobs of each key in order', options, async () => {
  const keys = 30
  const each = 8
  await using it = await testJobs()
  const peer = await it.peer()
  const done = new Map<string, number[]>()
  const running = new Set<string>()
  const complete = Promise.withResolvers<void>()
  let begun = 0
  let left = keys * each
  let overlaps = 0
  const handler =
    (name: string) =>
    async ({ name: own, data: { key, at } }: JobContext<Data>): Promise<void> => {
      assert.equal(own, name)
      if (running.has(key)) overlaps++
      running.add(key)
      begun++
      const fails = begun % 7 === 0
      await new Promise((resolve) => setImmediate(resolve))
      running.delete(key)
      if (fails) throw new Error('again')
      done.set(key, [...(done.get(key) ?? []), at])
      if (--left === 0) complete.resolve()
    }
  // One at a time here: what is offered must not take the place of what is run.
  it.jobs.handle(X, handler('x'), { concurrency: 1 })
  peer.api.handle(Y, handler('y'))
  await it.db.transaction(async (tx) => {
    for (let at = 0; at < each; at++) {
      for (let n = 0; n < keys; n++) {
        const key = `k${n}`
        await it.jobs.enqueue((at + n) % 2 === 0 ? X : Y, { key, at }, { key, tx })
      }
    }
  })
  await complete.promise
  const inOrder = Array.from({ length: each }, (_, at) => at)
  for (let n = 0; n < keys; n++) assert.deepEqual(done.get(`k${n}`), inOrder, `k${n}`)
  assert.equal(overlaps, 0)
  await eventually(async () => ((await tasks(it)) === 0 ? true : undefined))
})

test('a job that was taken over by a process that dies is run by the next that can', options, async () => {
  await using it = await testJobs()
  const log: string[] = []
  const done = Promise.withResolvers<void>()
  it.jobs.handle(X, ({ data: { at } }) => {
    if (at > 0) log.push(`x${at}`)
    if (at === 3) done.resolve()
  })
  const guest = await it.peer()
  const begun = Promise.withResolvers<void>()
  guest.api.handle(Y, async ({ signal }) => {
    begun.resolve()
    await aborted(signal)
    throw new Error('too late to count')
  })
  await allShardsOf(it)
  await enqueue(it, [X, Y, X])
  await begun.promise
  assert.deepEqual(log, ['x1'])
  const [held] = await it.db.query<{ owner: string }>('select owner from sluice.task where owner is not null')
  await it.db.execute(
    `update sluice.worker set dead_at = clock_timestamp() - interval '1 minute' where id = $1`,
    [held!.owner],
  )
  const heir = await it.peer()
  heir.api.handle(Y, ({ attempt }) => void log.push(`y2, attempt ${attempt}`))
  await guest.close()
  // As the reaper does it.
  await it.db.execute('update sluice.task set owner = null, attempt = attempt - 1 where owner = $1', [
    held!.owner,
  ])
  await done.promise
  assert.deepEqual(log, ['x1', 'y2, attempt 1', 'x3'])
})

test(
  'what a process had offered when it died is offered by the next owner of the shard',
  options,
  async () => {
    await using it = await testJobs()
    const owner = await it.peer()
    owner.api.handle(X, () => {})
    await allShardsOf(it)
    await enqueue(it, [Y, X, Y])
    await eventually(async () => ((await offered(it)) === 1 ? true : undefined))
    const log: string[] = []
    const done = Promise.withResolvers<void>()
    // It holds no shard and hears of the offer when the owner is gone for good: a worker whose row is dead takes nothing.
    await it.db.execute(`update sluice.worker set dead_at = clock_timestamp() - interval '1 minute'`)
    await owner.close()
    const heirs = [await it.peer(), await it.peer()]
    heirs[0]!.api.handle(X, ({ data: { at } }) => void log.push(`x${at}`))
    heirs[1]!.api.handle(Y, ({ data: { at } }) => {
      log.push(`y${at}`)
      if (at === 3) done.resolve()
    })
    await done.promise
    assert.deepEqual(log, ['y1', 'x2', 'y3'])
  },
)

test(
  'jobs of a name that nobody handles are reported behind many that are, and run when somebody does',
  options,
  async () => {
    await using it = await testJobs()
    const gate = Promise.withResolvers<void>()
    // From the second on they wait, so that it has no room either for what it is to offer.
    it.jobs.handle(X, ({ data: { key } }) => (key === 'first' ? undefined : gate.promise), { concurrency: 1 })
    await allShardsOf(it)
    await it.jobs.enqueueMany(
      X,
      Array.from({ length: 400 }, (_, at) => ({ data: { key: `x${at}`, at }, key: `x${at}` })),
    )
    await it.jobs.enqueueMany(
      Y,
      Array.from({ length: 10 }, (_, at) => ({ data: { key: `y${at}`, at }, key: `y${at}` })),
    )
    await eventually(async () => ((await offered(it)) === 10 ? true : undefined))
    await using engine = await openEngine(it.dsn)
    const { log } = engine.engine
    const unhandled = new Unhandled({
      engine: engine.engine,
      log,
      component: 'jobs',
      handled: () => ({}),
      graceMs: 0,
    })
    const found = await eventually(async () => {
      const seen = await unhandled.look()
      return seen.length > 0 && seen.every(({ queueIsRead }) => queueIsRead) ? seen : undefined
    })
    assert.deepEqual(
      found.map(({ queue, job: name, waiting }) => [queue, name, waiting]),
      [['shared', 'y', 10]],
    )
    const ran = new Set<number>()
    const done = Promise.withResolvers<void>()
    const peer = await it.peer()
    peer.api.handle(Y, ({ data: { at } }) => {
      ran.add(at)
      if (ran.size === 10) done.resolve()
    })
    await done.promise
    await eventually(async () => ((await unhandled.look()).length === 0 ? true : undefined))
    gate.resolve()
  },
)

test('limits and pauses hold for what was offered', options, async () => {
  await using it = await testJobs()
  const Limited = job('limited', data, { queue: 'shared', limit: { running: 2 } })
  it.jobs.handle(X, () => {})
  await allShardsOf(it)
  const peer = await it.peer()
  let now = 0
  let most = 0
  let ran = 0
  const done = Promise.withResolvers<void>()
  await it.jobs.pause('shared')
  await it.jobs.enqueueMany(
    Limited,
    Array.from({ length: 20 }, (_, at) => ({ data: { key: `k${at}`, at }, key: `k${at}` })),
  )
  peer.api.handle(Limited, async () => {
    most = Math.max(most, ++now)
    await new Promise((resolve) => setImmediate(resolve))
    now--
    if (++ran === 20) done.resolve()
  })
  await eventually(async () => ((await offered(it)) > 0 ? true : undefined))
  assert.equal(ran, 0)
  await it.jobs.resume('shared')
  await done.promise
  assert.ok(most <= 2, String(most))
})

async function enqueue(it: TestJobs, jobs: readonly (typeof X)[]): Promise<void> {
  await it.db.transaction(async (tx) => {
    for (const [index, each] of jobs.entries()) {
      await it.jobs.enqueue(each, { key: 'k', at: index + 1 }, { key: 'k', tx })
    }
  })
}

/** The only process with a handler holds them, so that what others are to run has to be offered. */
async function allShardsOf(it: TestJobs): Promise<void> {
  await it.jobs.enqueue(X, { key: 'first', at: 0 }, { key: 'first' })
  await eventually(async () => {
    const rows = await it.db.query<{ n: number }>(
      'select count(*)::int as n from sluice.lease where owner is not null',
    )
    return rows[0]?.n === 8 && (await tasks(it)) === 0 ? true : undefined
  })
}

async function tasks(it: TestJobs): Promise<number> {
  const row = await it.db.queryOne<{ n: number }>('select count(*)::int as n from sluice.task')
  return row?.n ?? 0
}

async function offered(it: TestJobs): Promise<number> {
  const row = await it.db.queryOne<{ n: number }>(
    'select count(*)::int as n from sluice.task where shard >= 8 and owner is null',
  )
  return row?.n ?? 0
}
