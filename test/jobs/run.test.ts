import assert from 'node:assert/strict'
import { test } from 'node:test'
import { z } from 'zod'
import { job, noRetry } from '../../src/jobs/index.ts'
import { leakCheck } from '../../src/testing/leak-check.ts'
import { testJobs } from './support.ts'

leakCheck()

const Greet = job('greet', z.object({ name: z.string() }), { backoff: { base: 1 } })

test('a job is run with its data, once, and is gone', async () => {
  await using it = await testJobs()
  const ran = Promise.withResolvers<string>()
  const worker = it.jobs.handle(Greet, ({ data }) => ran.resolve(data.name))
  const { id, created } = await it.jobs.enqueue(Greet, { name: 'Ada' })
  assert.match(id, /^\d+$/)
  assert.equal(created, true)
  assert.equal(await ran.promise, 'Ada')
  await worker.stop()
  const rows = await it.db.query('select id from sluice.task')
  assert.deepEqual(rows, [])
})

test('a job that fails is run again, until its attempts are used up', async () => {
  await using it = await testJobs()
  const Fails = job('fails', z.number(), { attempts: 3, backoff: { base: 1 } })
  const attempts: number[] = []
  const last = Promise.withResolvers<void>()
  const worker = it.jobs.handle(Fails, ({ attempt, isLastAttempt }) => {
    attempts.push(attempt)
    if (isLastAttempt) last.resolve()
    throw new Error(`attempt ${attempt} failed`)
  })
  const { id } = await it.jobs.enqueue(Fails, 1)
  await last.promise
  await worker.stop()
  assert.deepEqual(attempts, [1, 2, 3])
  const rows = await it.db.query<{ id: string; why: string; errs: unknown[] }>(
    'select id, why, errs from sluice.dead',
  )
  assert.deepEqual(
    rows.map((row) => [row.id, row.why, row.errs.length]),
    [[id, 'Error: attempt 3 failed', 3]],
  )
})

test('an error marked by noRetry makes a dead letter at once', async () => {
  await using it = await testJobs()
  const ran = Promise.withResolvers<void>()
  const worker = it.jobs.handle(Greet, () => {
    ran.resolve()
    throw noRetry(new Error('no such user'))
  })
  await it.jobs.enqueue(Greet, { name: 'Ada' })
  await ran.promise
  await worker.stop()
  const rows = await it.db.query('select attempt, why from sluice.dead')
  assert.deepEqual(rows, [{ attempt: 1, why: 'Error: no such user' }])
})

test('a job of another process starts at once', async () => {
  await using it = await testJobs({ pollInterval: '1h' })
  const peer = await it.peer()
  const ran = Promise.withResolvers<string>()
  it.jobs.handle(Greet, async ({ data }) => {
    await Promise.resolve()
    ran.resolve(data.name)
  })
  await peer.api.enqueue(Greet, { name: 'Bob' })
  assert.equal(await ran.promise, 'Bob')
})

test('what a rolled back transaction enqueued never runs, what it committed does', async () => {
  await using it = await testJobs()
  const names: string[] = []
  const ran = Promise.withResolvers<void>()
  it.jobs.handle(Greet, ({ data }) => {
    names.push(data.name)
    ran.resolve()
  })
  const undone = new Error('undo')
  await assert.rejects(
    it.db.transaction(async (tx) => {
      await it.jobs.enqueue(Greet, { name: 'rolled back' }, { tx })
      throw undone
    }),
    undone,
  )
  await it.db.transaction(async (tx) => {
    await it.jobs.enqueueMany(Greet, [{ data: { name: 'committed' } }], { tx })
  })
  await ran.promise
  assert.deepEqual(names, ['committed'])
})
