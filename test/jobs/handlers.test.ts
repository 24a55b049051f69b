import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import { z } from 'zod'
import { job } from '../../src/jobs/index.ts'
import { currentContext, runInContext } from '../../src/telemetry/context.ts'
import { leakCheck } from '../../src/testing/leak-check.ts'
import { eventually, testJobs } from './support.ts'

leakCheck()

test('a handler past its timeout is told so, and the job fails when it ends', async () => {
  await using it = await testJobs()
  const Slow = job('slow', z.object({}), { timeout: 50, attempts: 1 })
  const reasons: unknown[] = []
  it.jobs.handle(Slow, async ({ signal }) => {
    await once(signal, 'abort')
    reasons.push(signal.reason)
    throw signal.reason
  })
  const { id } = await it.jobs.enqueue(Slow, {})
  const dead = await eventually(() => it.jobs.deadLetters.get(id))
  assert.match(dead.why, /^SLUICE_TIMEOUT: job "slow" was not done after 50 ms/)
  assert.equal(reasons.length, 1)
})

test('a handler that never ends loses its slot', async () => {
  await using it = await testJobs()
  const Stuck = job('stuck', z.object({ hang: z.boolean() }), { timeout: 20, attempts: 1, concurrency: 1 })
  const ran = Promise.withResolvers<void>()
  it.jobs.handle(Stuck, ({ data }) => (data.hang ? new Promise(() => {}) : ran.resolve()))
  const { id } = await it.jobs.enqueue(Stuck, { hang: true })
  await it.jobs.enqueue(Stuck, { hang: false }, { priority: 9 })
  await ran.promise
  // Its slot is free before its end is stored.
  await eventually(async () => ((await it.jobs.get(id))?.state === 'dead' ? true : undefined))
})

test('with transaction: true, effect and end commit together', async () => {
  await using it = await testJobs()
  await it.db.execute('create table effect (id bigint)')
  const Pay = job('pay', z.object({}), { attempts: 2, backoff: { base: 1 } })
  const ended = Promise.withResolvers<void>()
  const worker = it.jobs.handle(
    Pay,
    async ({ id, attempt, tx }) => {
      await tx.execute('insert into effect values ($1)', [id])
      if (attempt === 1) throw new Error('after the insert')
      ended.resolve()
    },
    { transaction: true },
  )
  const { id } = await it.jobs.enqueue(Pay, {})
  await ended.promise
  await worker.stop()
  assert.deepEqual(await it.db.query('select id from effect'), [{ id }])
  assert.equal(await it.jobs.get(id), undefined)
})

test('a transaction whose job was cancelled meanwhile is undone', async () => {
  await using it = await testJobs()
  await it.db.execute('create table effect (id bigint)')
  const Pay = job('pay', z.object({}))
  const entered = Promise.withResolvers<void>()
  const goOn = Promise.withResolvers<void>()
  const worker = it.jobs.handle(
    Pay,
    async ({ id, tx }) => {
      await tx.execute('insert into effect values ($1)', [id])
      entered.resolve()
      await goOn.promise
    },
    { transaction: true },
  )
  const { id } = await it.jobs.enqueue(Pay, {})
  await entered.promise
  assert.equal(await it.jobs.cancel(id), true)
  goOn.resolve()
  await worker.stop()
  assert.deepEqual(await it.db.query('select id from effect'), [])
  assert.equal(await it.jobs.get(id), undefined)
  assert.deepEqual(await it.jobs.deadLetters.list(), [])
})

test('without a transaction, asking for it says how to get one', async () => {
  await using it = await testJobs()
  const Plain = job('plain', z.object({}), { attempts: 1 })
  it.jobs.handle(Plain, ({ tx }) => tx)
  const { id } = await it.jobs.enqueue(Plain, {})
  const dead = await eventually(() => it.jobs.deadLetters.get(id))
  assert.match(dead.why, /register it with \{ transaction: true \}/)
})

test('a batch handler gets many jobs, and fails single ones', async () => {
  await using it = await testJobs()
  const Import = job('import', z.object({ n: z.number() }), { attempts: 1, concurrency: 1 })
  const items = Array.from({ length: 10 }, (_, n) => ({ data: { n } }))
  const stored = await it.jobs.enqueueMany(Import, items)
  const sizes: number[] = []
  const seen: number[] = []
  it.jobs.handle(
    Import,
    ({ jobs, fail }) => {
      sizes.push(jobs.length)
      for (const each of jobs) {
        seen.push(each.data.n)
        if (each.data.n === 3) fail(each.id, new Error('three'))
      }
    },
    { batch: 4 },
  )
  const dead = await eventually(() => it.jobs.deadLetters.get(stored[3]!.id))
  assert.equal(dead.why, 'Error: three')
  await eventually(async () => {
    const [queue] = await it.jobs.stats()
    return queue?.ready === 0 && queue.running === 0 ? true : undefined
  })
  assert.deepEqual(seen, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
  assert.ok(sizes.every((size) => size <= 4))
  assert.equal((await it.jobs.deadLetters.list()).length, 1)
})

test('a batch handler that throws fails those of which nothing was said', async () => {
  await using it = await testJobs()
  const Import = job('import', z.object({ n: z.number() }), { attempts: 1, concurrency: 1 })
  await it.jobs.enqueueMany(Import, [{ data: { n: 1 } }, { data: { n: 2 } }])
  it.jobs.handle(
    Import,
    ({ jobs, fail }) => {
      fail(jobs[0]!.id, new Error('said'))
      throw new Error('thrown')
    },
    { batch: 2 },
  )
  const dead = await eventually(async () => {
    const list = await it.jobs.deadLetters.list()
    return list.length === 2 ? list : undefined
  })
  assert.deepEqual(dead.map(({ why }) => why).toSorted(), ['Error: said', 'Error: thrown'])
})

test('a job keeps its result, and is found by it', async () => {
  await using it = await testJobs()
  const Sum = job('sum', z.array(z.number()), { keepResult: '1h' })
  it.jobs.handle(Sum, ({ data }) => data.reduce((a, b) => a + b, 0))
  const { id } = await it.jobs.enqueue(Sum, [1, 2, 3])
  const info = await eventually(async () => {
    const found = await it.jobs.get(id)
    return found?.state === 'done' ? found : undefined
  })
  assert.equal(info.result, 6)
  assert.equal(info.name, 'sum')
  assert.equal(info.attempt, 1)
})

test('progress is seen by others while the job runs', async () => {
  await using it = await testJobs()
  const Long = job('long', z.object({}))
  const goOn = Promise.withResolvers<void>()
  it.jobs.handle(Long, async ({ progress }) => {
    progress(0.25, 'a quarter')
    progress(0.5, 'half')
    await goOn.promise
  })
  const { id } = await it.jobs.enqueue(Long, {})
  const info = await eventually(async () => {
    const found = await it.jobs.get(id)
    return found?.progress === undefined ? undefined : found
  })
  assert.equal(info.state, 'running')
  assert.deepEqual(info.progress, { fraction: 0.5, note: 'half' })
  goOn.resolve()
})

test('data of an older program that the schema refuses becomes a dead letter with path and reason', async () => {
  await using it = await testJobs()
  const Old = job('mail', z.object({ address: z.string() }))
  const New = job('mail', z.object({ to: z.string() }))
  const { id } = await it.jobs.enqueue(Old, { address: 'a@b' })
  let called = false
  it.jobs.handle(New, () => void (called = true))
  const dead = await eventually(() => it.jobs.deadLetters.get(id))
  assert.match(dead.why, /^SLUICE_INVALID_DATA: job "mail": to: /)
  assert.equal(dead.attempt, 1)
  assert.equal(called, false)
})

test('a handler runs in the request of whoever enqueued the job, and in no other', async () => {
  await using it = await testJobs()
  const Greet = job('greet', z.object({}))
  const seen: string[] = []
  const both = Promise.withResolvers<void>()
  it.jobs.handle(Greet, () => {
    seen.push(currentContext()?.requestId ?? 'none')
    if (seen.length === 2) both.resolve()
  })
  await runInContext({ requestId: 'r-1' }, () => it.jobs.enqueue(Greet, {}))
  await it.jobs.enqueue(Greet, {})
  await both.promise
  assert.deepEqual(seen.toSorted(), ['none', 'r-1'])
})

test('a second handler of a job is refused, and allowed once the first has stopped', async () => {
  await using it = await testJobs()
  const Greet = job('greet', z.object({}))
  const first = it.jobs.handle(Greet, () => {})
  assert.throws(() => it.jobs.handle(Greet, () => {}), { code: 'SLUICE_INVALID_ARGUMENT' })
  await first.stop()
  const ran = Promise.withResolvers<void>()
  it.jobs.handle(Greet, () => ran.resolve())
  await it.jobs.enqueue(Greet, {})
  await ran.promise
})
