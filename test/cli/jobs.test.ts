import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import { z } from 'zod'
import { job, noRetry, type Jobs } from '../../src/jobs/index.ts'
import { leakCheck } from '../../src/testing/leak-check.ts'
import { eventually, testJobs, type TestJobs } from '../jobs/support.ts'
import { durableDatabase } from '../support/durable-database.ts'
import { inProcess, sluice, type Finished } from './command.ts'

leakCheck()

const Mail = job('mail', z.object({ to: z.string() }), { attempts: 1 })
const Resize = job('resize', z.object({ path: z.string() }), { attempts: 1 })

/** As an operator would call it who has no app at hand; in this process, since a process costs a second on a busy day. */
async function call(it: TestJobs, ...args: readonly string[]): Promise<Omit<Finished, 'signal'>> {
  return inProcess(['jobs', ...args], { POSTGRES_DSN: it.dsn })
}

async function json<T>(it: TestJobs, ...args: readonly string[]): Promise<T> {
  const { code, out, err } = await call(it, ...args, '--json')
  assert.equal(code, 0, out + err)
  return JSON.parse(out) as T
}

/** Dead letters: two of `mail`, one of `resize`, and no handler any more. */
async function withDead(it: TestJobs): Promise<readonly string[]> {
  const fail = (): never => {
    throw noRetry(new Error('mailbox full\u001b[2J'))
  }
  const workers = [it.jobs.handle(Mail, fail), it.jobs.handle(Resize, fail)]
  const made = [
    await it.jobs.enqueue(Mail, { to: 'ada' }),
    await it.jobs.enqueue(Mail, { to: 'bob' }),
    await it.jobs.enqueue(Resize, { path: '/a' }),
  ]
  await eventually(async () => ((await it.jobs.deadLetters.list()).length === 3 ? true : undefined))
  for (const worker of workers) await worker.stop()
  return made.map(({ id }) => id)
}

async function deadIds(jobs: Jobs): Promise<readonly string[]> {
  return (await jobs.deadLetters.list()).map(({ id }) => id).toSorted((a, b) => Number(a) - Number(b))
}

test('stats and list show what waits, and no worker registers to look', async () => {
  await using it = await testJobs()
  const { id } = await it.jobs.enqueue(Mail, { to: 'ada' }, { delay: '1h', key: 'k' })
  await it.jobs.enqueue(Resize, { path: '/a' })
  const { queues } = await json<{ queues: { name: string; ready: number; scheduled: number }[] }>(it)
  assert.deepEqual(
    queues.map(({ name, ready, scheduled }) => [name, ready, scheduled]),
    [
      ['mail', 0, 1],
      ['resize', 1, 0],
    ],
  )
  const { jobs } = await json<{ jobs: Record<string, unknown>[] }>(it, 'list', '--state', 'scheduled')
  assert.deepEqual(
    jobs.map((each) => [each['id'], each['name'], each['state'], each['key'], each['group'], each['data']]),
    [[id, 'mail', 'scheduled', 'k', null, null]],
  )
  const stats = await call(it, 'stats')
  assert.match(stats.out, /^queue +ready +scheduled +running +dead +oldest +paused$/m)
  assert.match(stats.out, /^resize +1 +0 +0 +0 +\d+[smhd] +-$/m)
  const list = await call(it, 'list', '--job=mail')
  assert.match(list.out, /mail +scheduled +0\/1 +5 +in \d+[mh] \(\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ\)/)
  assert.doesNotMatch(list.out, /resize/)
  const [row] = await it.db.query<{ n: number }>('select count(*)::int as n from sluice.worker')
  assert.equal(row?.n, 1)
})

test('a dead letter is shown with its data, its errors and no control characters', async () => {
  await using it = await testJobs()
  const [id = ''] = await withDead(it)
  const dead = await call(it, 'dead', '--job', 'mail')
  assert.equal(dead.code, 0, dead.err)
  assert.equal(dead.out.trim().split('\n').length, 3)
  assert.match(dead.out, /mail +\d+[smh] ago \(.*Z\) +1 +.*mailbox full\\u001b\[2J/)
  const shown = await call(it, 'show', id)
  assert.match(shown.out, /^why +.*mailbox full/m)
  assert.match(shown.out, /^errors:\n {2}attempt 1, \d+[smh] ago/m)
  assert.match(shown.out, /^data:\n {2}\{\n {4}"to": "ada"/m)
  assert.ok(!(dead.out + shown.out).includes('\u001b'))
  const { job } = await json<{ job: Record<string, unknown> }>(it, 'show', id)
  assert.equal(job['state'], 'dead')
  assert.deepEqual(job['data'], { to: 'ada' })
  assert.ok('traceId' in job && 'diedAt' in job && 'why' in job)
  const none = await call(it, 'show', '999999')
  assert.equal(none.code, 1)
  assert.match(none.err, /there is no job 999999/)
})

test('what would touch every dead letter needs --yes, and says how many there are', async () => {
  await using it = await testJobs()
  const ids = await withDead(it)
  for (const action of ['drop', 'redrive']) {
    const { code, out, err } = await call(it, action)
    assert.deepEqual({ code, out }, { code: 64, out: '' })
    assert.match(err, /all 3 dead letters: say which by --job or --before, or confirm with --yes/)
    assert.deepEqual(await json(it, action, '--dry-run', '--job', 'mail'), { dryRun: true, matching: 2 })
  }
  for (const action of ['drop', 'redrive']) {
    const { code, err } = await call(it, action, '--job', 'mial')
    assert.equal(code, 0)
    assert.match(err, /^sluice: no job called "mial" has dead letters$/m)
  }
  assert.deepEqual(await deadIds(it.jobs), ids)
  assert.match((await call(it, 'drop', '--job', 'mail')).out, /^2 dead letters deleted$/m)
  assert.deepEqual(await deadIds(it.jobs), ids.slice(2))
  assert.deepEqual(await json(it, 'drop', '--yes'), { dropped: 1 })
  assert.deepEqual(await deadIds(it.jobs), [])
})

test('drop takes ids and times, and leaves the others', async () => {
  await using it = await testJobs()
  const [first = '', ...others] = await withDead(it)
  assert.deepEqual(await json(it, 'drop', '--before', '1h'), { dropped: 0 })
  assert.deepEqual(await json(it, 'drop', first), { dropped: 1 })
  assert.deepEqual(await deadIds(it.jobs), others)
})

test('retry puts dead letters back for the processes that run', async () => {
  await using it = await testJobs({ pollInterval: '1h' })
  const [first = '', second = '', third = ''] = await withDead(it)
  const done = Promise.withResolvers<string>()
  it.jobs.handle(Mail, ({ id }) => done.resolve(id))
  const { code, out } = await call(it, 'retry', first)
  assert.deepEqual({ code, out }, { code: 0, out: '1 job put back\n' })
  assert.equal(await done.promise, first)
  assert.deepEqual(await deadIds(it.jobs), [second, third])
  const again = await call(it, 'retry', first)
  assert.equal(again.code, 1)
  assert.match(again.err, /1 id not put back/)
})

test('redrive stops after canaries that fail again', async () => {
  await using it = await testJobs()
  await withDead(it)
  it.jobs.handle(Mail, () => {
    throw noRetry(new Error('still full'))
  })
  const { code, out, err } = await call(it, 'redrive', '--job', 'mail', '--canary', '1')
  assert.equal(code, 1)
  // The one that failed again may be among them by then.
  assert.match(out, /^1 job put back; (1 more is|2 more are) left\n$/)
  assert.match(err, /failed again: the others stay dead/)
})

test('cancel aborts what runs elsewhere', async () => {
  await using it = await testJobs()
  const started = Promise.withResolvers<void>()
  const aborted = Promise.withResolvers<void>()
  it.jobs.handle(Mail, async ({ signal }) => {
    started.resolve()
    await once(signal, 'abort')
    aborted.resolve()
    throw signal.reason
  })
  const { id } = await it.jobs.enqueue(Mail, { to: 'ada' })
  await started.promise
  const { code, out, err } = await call(it, 'cancel', id, '999999')
  assert.deepEqual({ code, out }, { code: 1, out: '1 job cancelled\n' })
  assert.match(err, /neither waiting nor running: 999999/)
  await aborted.promise
})

test('pause and resume act on a queue that is there, and a mistyped one is told', async () => {
  await using it = await testJobs()
  await it.jobs.enqueue(Mail, { to: 'ada' })
  const wrong = await call(it, 'pause', 'mial')
  assert.equal(wrong.code, 1)
  assert.match(wrong.err, /there is no queue "mial"\nDid you mean mail\?/)
  const far = await call(it, 'pause', 'invoices')
  assert.match(far.err, /there is no queue "invoices"\n`npx sluice jobs( --dsn …)?` names the queues\./)
  assert.equal((await call(it, 'pause', 'mail', '--why', 'bounces')).code, 0)
  const [paused] = await it.jobs.stats()
  assert.deepEqual([paused?.paused, paused?.pausedWhy], [true, 'bounces'])
  assert.match((await call(it)).out, /^mail .* bounces$/m)
  assert.equal((await call(it, 'resume', 'mail')).code, 0)
  assert.equal((await it.jobs.stats())[0]?.paused, false)
})

test('with a program its own database is used, and its migrations do not run', async () => {
  await using it = await testJobs()
  await it.jobs.enqueue(Mail, { to: 'ada' })
  const { code, out, err } = await sluice(['jobs', 'durable.ts', 'list'], { env: { POSTGRES_DSN: it.dsn } })
  assert.equal(code, 0, err)
  assert.match(out, /mail +ready/)
  const [row] = await it.db.query<{ found: boolean }>(`select to_regclass('todos') is not null as found`)
  assert.equal(row?.found, false)
  const dsn = await sluice(['jobs', '--dsn', it.dsn, 'list'])
  assert.match(dsn.out, /mail +ready/)
})

test('a database without the tables is told with what makes them', async () => {
  await using database = await durableDatabase()
  const { code, err } = await inProcess(['jobs', 'list'], { POSTGRES_DSN: database.dsn })
  assert.equal(code, 1)
  assert.match(err, /SLUICE_NOT_READY: postgres: there are no tables of sluice .*\n.*sluice migrate/)
})
