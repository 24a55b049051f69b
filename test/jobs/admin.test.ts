import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import { z } from 'zod'
import type { SluiceError } from '../../src/core/errors.ts'
import { job, noRetry } from '../../src/jobs/index.ts'
import { Unhandled } from '../../src/jobs/unhandled.ts'
import { silentLogger, type Logger } from '../../src/telemetry/log.ts'
import { leakCheck } from '../../src/testing/leak-check.ts'
import { openEngine } from '../engine/leases-support.ts'
import { eventually, testJobs } from './support.ts'

leakCheck()

const Greet = job('greet', z.object({ name: z.string() }), { backoff: { base: 1 } })

test('a job is found while it waits, with all that was said of it', async () => {
  await using it = await testJobs()
  const { id } = await it.jobs.enqueue(Greet, { name: 'Ada' }, { delay: '1h', priority: 3, group: 'g' })
  const info = await it.jobs.get(id)
  assert.equal(info?.state, 'scheduled')
  assert.equal(info.name, 'greet')
  assert.equal(info.priority, 3)
  assert.equal(info.group, 'g')
  assert.equal(info.attempt, 0)
  assert.equal(info.maxAttempts, 10)
  assert.deepEqual(info.data, { name: 'Ada' })
  assert.deepEqual(info.errors, [])
  assert.ok(info.runAt.getTime() - info.enqueuedAt.getTime() > 3_590_000)
  assert.equal(await it.jobs.get('999999'), undefined)
  await assert.rejects(it.jobs.get('x'), { code: 'SLUICE_INVALID_ARGUMENT' })
})

test('a waiting job that is cancelled is gone', async () => {
  await using it = await testJobs()
  const { id } = await it.jobs.enqueue(Greet, { name: 'Ada' })
  assert.equal(await it.jobs.cancel(id), true)
  assert.equal(await it.jobs.cancel(id), false)
  assert.equal(await it.jobs.get(id), undefined)
})

for (const notify of [true, false]) {
  const how = notify ? 'by a notification' : 'by looking'
  test(`a job that runs in another process is aborted ${how}`, async () => {
    await using it = await testJobs({ notify })
    const peer = await it.peer({ notify })
    const started = Promise.withResolvers<void>()
    const aborted = Promise.withResolvers<unknown>()
    it.jobs.handle(Greet, async ({ signal }) => {
      started.resolve()
      await once(signal, 'abort')
      aborted.resolve(signal.reason)
      throw signal.reason
    })
    const { id } = await it.jobs.enqueue(Greet, { name: 'Ada' })
    await started.promise
    assert.equal(await peer.api.cancel(id), true)
    assert.equal(((await aborted.promise) as { code: string }).code, 'SLUICE_CANCELLED')
    assert.equal(await it.jobs.get(id), undefined)
    assert.deepEqual(await it.jobs.deadLetters.list(), [])
  })
}

test('a group is counted and cancelled as one', async () => {
  await using it = await testJobs()
  const data = { name: 'Ada' }
  await it.jobs.enqueueMany(Greet, [
    { data, group: 'a' },
    { data, group: 'a' },
    { data, group: 'b' },
  ])
  assert.deepEqual(await it.jobs.group('a'), { group: 'a', open: 2, dead: 0 })
  assert.equal(await it.jobs.cancelGroup('a'), 2)
  assert.deepEqual(await it.jobs.group('a'), { group: 'a', open: 0, dead: 0 })
  assert.deepEqual(await it.jobs.group('b'), { group: 'b', open: 1, dead: 0 })
})

test('a paused queue runs nothing until it is resumed', async () => {
  await using it = await testJobs()
  const peer = await it.peer()
  const names: string[] = []
  const ran = Promise.withResolvers<void>()
  it.jobs.handle(Greet, ({ data }) => {
    names.push(data.name)
    ran.resolve()
  })
  await it.jobs.pause('greet', 'too many bounces')
  await peer.api.pause('greet', 'far too many bounces')
  await it.jobs.enqueue(Greet, { name: 'Ada' })
  const [stats] = await it.jobs.stats()
  assert.equal(stats?.paused, true)
  assert.equal(stats.pausedWhy, 'far too many bounces')
  assert.equal(stats.ready, 1)
  assert.deepEqual(names, [])
  await peer.api.resume('greet')
  await ran.promise
  assert.equal((await it.jobs.stats())[0]?.paused, false)
  await assert.rejects(it.jobs.resume('nobody'), { code: 'SLUICE_INVALID_ARGUMENT' })
  await assert.rejects(peer.api.pause('great'), {
    code: 'SLUICE_INVALID_ARGUMENT',
    message: /there is no queue "great"/,
  })
  assert.deepEqual(
    (await it.jobs.stats()).map(({ name }) => name),
    ['greet'],
  )
})

test('dead letters are listed with the errors of each attempt, and dropped', async () => {
  await using it = await testJobs()
  const Fails = job('fails', z.number(), { attempts: 2, backoff: { base: 1 } })
  it.jobs.handle(Fails, ({ attempt }) => {
    throw new Error(`attempt ${attempt}: postgres://user:hunter2@db/x`)
  })
  const { id } = await it.jobs.enqueue(Fails, 1)
  const dead = await eventually(() => it.jobs.deadLetters.get(id))
  assert.deepEqual(
    dead.errors.map(({ attempt, error }) => [attempt, error.includes('hunter2')]),
    [
      [1, false],
      [2, false],
    ],
  )
  assert.match(dead.why, /^Error: attempt 2: postgres:/)
  assert.equal(dead.data, 1)
  assert.deepEqual(await it.jobs.deadLetters.list({ job: 'fails' }), [dead])
  assert.deepEqual(await it.jobs.deadLetters.list({ job: 'others' }), [])
  assert.deepEqual(await it.jobs.deadLetters.list({ before: new Date(0) }), [])
  assert.equal(await it.jobs.deadLetters.drop({ ids: [id] }), 1)
  assert.deepEqual(await it.jobs.deadLetters.list(), [])
})

test('what is dropped has to be named, and a mistyped filter is none', async () => {
  await using it = await testJobs()
  const Mail = job('mail', z.number(), { attempts: 1 })
  const worker = it.jobs.handle(Mail, () => {
    throw new Error('never')
  })
  await it.jobs.enqueueMany(
    Mail,
    [1, 2, 3].map((data) => ({ data })),
  )
  await eventually(async () => ((await it.jobs.deadLetters.list()).length === 3 ? true : undefined))
  await worker.stop()
  const { deadLetters } = it.jobs
  const mistyped = { jobs: 'mail' } as object
  await assert.rejects(deadLetters.drop({}), /expected job, ids or before, got none/)
  await assert.rejects(deadLetters.drop({ limit: 2 }), /expected job, ids or before/)
  await assert.rejects(deadLetters.drop(mistyped), /deadLetters.drop: there is no option "jobs"/)
  await assert.rejects(deadLetters.list(mistyped), /deadLetters.list: there is no option "jobs"/)
  await assert.rejects(deadLetters.redrive(mistyped), (error: SluiceError) => {
    assert.equal(error.code, 'SLUICE_INVALID_ARGUMENT')
    assert.equal(error.hint, 'Did you mean "job"?')
    return true
  })
  assert.equal((await deadLetters.list()).length, 3)
  assert.deepEqual(await deadLetters.redrive({ job: 'mail', limit: 2 }), {
    redriven: 2,
    stopped: false,
    left: 1,
  })
  assert.equal(await deadLetters.drop({ before: new Date(Date.now() + 60_000) }), 1)
})

test('a redrive goes on when its canaries are done', async () => {
  await using it = await testJobs()
  const Mend = job('mend', z.number(), { attempts: 1 })
  let broken = true
  it.jobs.handle(Mend, () => {
    if (broken) throw new Error('broken')
  })
  await it.jobs.enqueueMany(
    Mend,
    Array.from({ length: 12 }, (_, data) => ({ data })),
  )
  await eventually(async () => ((await it.jobs.deadLetters.list()).length === 12 ? true : undefined))
  broken = false
  const answer = await it.jobs.deadLetters.redrive({ canary: 3 })
  assert.deepEqual(answer, { redriven: 12, stopped: false, left: 0 })
  await eventually(async () => {
    const [queue] = await it.jobs.stats()
    return queue?.ready === 0 && queue.running === 0 ? true : undefined
  })
  assert.deepEqual(await it.jobs.deadLetters.list(), [])
})

test('a redrive stops when most of its canaries fail again', async () => {
  await using it = await testJobs()
  const Broken = job('broken', z.number(), { attempts: 1 })
  it.jobs.handle(Broken, () => {
    throw noRetry(new Error('still broken'))
  })
  await it.jobs.enqueueMany(
    Broken,
    Array.from({ length: 12 }, (_, data) => ({ data })),
  )
  await eventually(async () => ((await it.jobs.deadLetters.list()).length === 12 ? true : undefined))
  const answer = await it.jobs.deadLetters.redrive({ canary: 3 })
  assert.deepEqual([answer.redriven, answer.stopped], [3, true])
  assert.ok(answer.left >= 9 && answer.left <= 12, String(answer.left))
  const all = await eventually(async () => {
    const list = await it.jobs.deadLetters.list()
    return list.length === 12 ? list : undefined
  })
  // Those that were tried again keep the errors of before.
  assert.equal(all.filter(({ errors }) => errors.length === 2).length, 3)
})

test('a job that has no handler here is left to others, and counted', async () => {
  await using it = await testJobs()
  const Old = job('old', z.number(), { queue: 'shared' })
  const New = job('new', z.number(), { queue: 'shared' })
  it.jobs.handle(Old, () => {})
  const { id } = await it.jobs.enqueue(New, 1)
  await eventually(async () => ((await it.jobs.stats())[0]?.unknown === 1 ? true : undefined))
  const left = await eventually(async () => {
    const info = await it.jobs.get(id)
    return info?.state === 'scheduled' ? info : undefined
  })
  assert.equal(left.attempt, 0)
  const peer = await it.peer()
  const ran = Promise.withResolvers<number>()
  peer.api.handle(New, ({ data }) => ran.resolve(data))
  assert.equal(await ran.promise, 1)
})

test('jobs that no process handles are told once, by name, and no more when one does', async () => {
  const lines: (readonly [object, string])[] = []
  const log: Logger = {
    ...silentLogger,
    warn: (fields, text = '') => void lines.push([fields as object, text]),
    child: () => log,
  }
  await using it = await testJobs()
  const Mail = job('mail', z.number(), { queue: 'shared' })
  const Call = job('call', z.number(), { queue: 'shared' })
  await it.jobs.enqueue(Greet, { name: 'Ada' }, { key: 'k' })
  await it.jobs.enqueue(Call, 1)
  await using engine = await openEngine(it.dsn)
  const unhandled = new Unhandled({
    engine: engine.engine,
    log,
    component: 'jobs',
    handled: () => ({}),
    graceMs: 0,
  })
  const seen = async (): Promise<unknown> =>
    (await unhandled.look()).map((each) => [each.queue, each.job, each.waiting, each.queueIsRead])
  const nobody = [
    ['greet', 'greet', 1, false],
    ['shared', 'call', 1, false],
  ]
  assert.deepEqual(await seen(), nobody)
  assert.deepEqual(await seen(), nobody)
  assert.deepEqual(
    lines.map(([, text]) => text),
    [
      'jobs called "greet" wait, and no process works on their queue',
      'jobs called "call" wait, and no process works on their queue',
    ],
  )
  it.jobs.handle(Mail, () => {})
  const isRead = eventually(async () =>
    (await unhandled.look()).some(({ job: name, queueIsRead }) => name === 'call' && queueIsRead)
      ? true
      : undefined,
  )
  await isRead
  assert.match(lines.at(-1)?.[1] ?? '', /"call" wait, and no process has a handler of that name/)
  const peer = await it.peer()
  const [greeted, called] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  peer.api.handle(Greet, () => greeted.resolve())
  peer.api.handle(Call, () => called.resolve())
  await Promise.all([greeted.promise, called.promise])
  await eventually(async () => ((await unhandled.look()).length === 0 ? true : undefined))
})
