/** Jobs that wait or run, as a list; and how often one of them may run. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { z } from 'zod'
import { job } from '../../src/jobs/index.ts'
import { eventually, testJobs } from './support.ts'

const Mail = job('mail', z.object({ n: z.number() }), { backoff: { base: 1, max: 1 } })
const Scan = job('scan', z.object({ n: z.number() }), { queue: 'heavy' })

test('jobs are listed by name, queue and state, page by page, without their data', async () => {
  await using own = await testJobs()
  const { jobs } = own
  const mails = await jobs.enqueueMany(
    Mail,
    [1, 2, 3].map((n) => ({ data: { n } })),
  )
  const later = await jobs.enqueue(Mail, { n: 4 }, { delay: '1h', attempts: 3, key: 'k' })
  const scan = await jobs.enqueue(Scan, { n: 5 })
  const ids = async (...[filter]: Parameters<typeof jobs.list>) =>
    (await jobs.list(filter)).map(({ id }) => id)
  const all = [scan.id, later.id, ...mails.map(({ id }) => id).toReversed()]
  assert.deepEqual(await ids(), all)
  const page = await ids({ limit: 2 })
  assert.deepEqual(page, all.slice(0, 2))
  assert.deepEqual(await ids({ after: page[1], limit: 2 }), all.slice(2, 4))
  assert.deepEqual(await ids({ queue: 'heavy' }), [scan.id])
  assert.deepEqual(await ids({ job: 'scan' }), [scan.id])
  assert.deepEqual(await ids({ job: 'heavy' }), [])
  const [scheduled, ...others] = await jobs.list({ state: 'scheduled' })
  assert.deepEqual(others, [])
  assert.equal(scheduled?.id, later.id)
  assert.equal(scheduled?.maxAttempts, 3)
  assert.ok(!('data' in scheduled))
  const refused = { code: 'SLUICE_INVALID_ARGUMENT' }
  await assert.rejects(jobs.list({ limit: 0 }), refused)
  await assert.rejects(jobs.list({ state: 'dead' as never }), refused)
  await assert.rejects(jobs.list({ after: 'x' }), refused)
})

test('a job runs as often as was said when it was enqueued', async () => {
  await using own = await testJobs()
  const { jobs } = own
  const tried: number[] = []
  jobs.handle(Mail, ({ data, isLastAttempt }) => {
    tried.push(data.n)
    throw new Error(isLastAttempt ? 'the last' : 'not the last')
  })
  const once = await jobs.enqueue(Mail, { n: 1 }, { attempts: 1 })
  const [twice] = await jobs.enqueueMany(Mail, [{ data: { n: 2 }, attempts: 2 }])
  for (const id of [once.id, twice?.id ?? '']) {
    const letter = await eventually(() => jobs.deadLetters.get(id))
    assert.equal(letter.why, 'Error: the last')
  }
  assert.deepEqual(
    tried.toSorted((a, b) => a - b),
    [1, 2, 2],
  )
  for (const attempts of [0, 101, 1.5]) {
    await assert.rejects(jobs.enqueue(Mail, { n: 3 }, { attempts }), { code: 'SLUICE_INVALID_ARGUMENT' })
  }
})
