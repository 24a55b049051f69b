/** Ends that the database refuses for what is in them: they harm no other job, and none stays behind as one that runs. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { z } from 'zod'
import { SluiceError } from '../../src/core/errors.ts'
import { Gather } from '../../src/jobs/gather.ts'
import { job } from '../../src/jobs/index.ts'
import { checkQueue } from '../../src/jobs/queue-health.ts'
import { ManualClock } from '../../src/testing/manual-clock.ts'
import { listeningLogger } from '../cron/cluster-support.ts'
import { eventually, testJobs, type TestJobs } from './support.ts'

const options = { timeout: 60_000 }
const REFUSED =
  /^SLUICE_QUERY: the end of the attempt could not be stored as it was: the database refused it \(SQLSTATE 23514\)$/

const refusal = (): SluiceError => new SluiceError('SLUICE_QUERY', 'no', { details: { sqlstate: '22P05' } })

interface Written {
  readonly gather: Gather<number>
  readonly clock: ManualClock
  readonly stored: number[]
  readonly refused: number[]
  readonly failures: Error[]
  writes: number
}

/** What is stored must be at least 0; -2 is not taken either way. */
function gathering(answer: (items: readonly number[]) => Error | undefined = () => undefined): Written {
  const clock = new ManualClock()
  const written: Written = {
    clock,
    stored: [],
    refused: [],
    failures: [],
    writes: 0,
    gather: new Gather<number>({
      clock,
      random: () => 0.5,
      maxItems: 1_000,
      onFailure: (error) => void written.failures.push(error),
      write(items) {
        written.writes += 1
        const error = answer(items)
        if (error !== undefined) return Promise.reject(error)
        if (items.some((item) => item < 0)) return Promise.reject(refusal())
        written.stored.push(...items)
        return Promise.resolve()
      },
      refused(item) {
        if (item === -2) return Promise.reject(refusal())
        written.refused.push(item)
        return Promise.resolve()
      },
    }),
  }
  return written
}

test('of a refused write all is stored but the item that is refused, in few writes', async () => {
  const written = gathering()
  for (let item = 0; item < 1_000; item++) written.gather.add(item === 700 ? -1 : item)
  assert.equal(written.gather.length, 1_000)
  await written.gather.idle()
  const rest = Array.from({ length: 1_000 }, (_, item) => item).filter((item) => item !== 700)
  assert.deepEqual(written.stored, rest)
  assert.deepEqual(written.refused, [-1])
  assert.ok(written.writes <= 22, `${written.writes} writes`)
  assert.deepEqual(written.failures, [])
  written.gather.add(7)
  await written.gather.idle()
  assert.equal(written.stored.at(-1), 7)
})

test('a failure that passes is repeated as it was, also amid the parts of a refused write', async () => {
  let away = 0
  const passing = new SluiceError('SLUICE_UNAVAILABLE', 'away', { retryable: true })
  const written = gathering((items) => (items.length === 2 && away++ === 0 ? passing : undefined))
  for (const item of [0, 1, -1, 3]) written.gather.add(item)
  const idle = written.gather.idle()
  while (written.failures.length === 0) await new Promise(setImmediate)
  assert.deepEqual(written.gather.items, [0, 1, -1, 3])
  assert.equal(written.gather.failingSince, written.clock.monotonic())
  await written.clock.advance(60_000)
  await idle
  assert.deepEqual([written.stored, written.refused, written.failures], [[0, 1, 3], [-1], [passing]])
  assert.equal(written.gather.failingSince, undefined)
})

test('one that cannot be ended in any way is tried on, and says so', async () => {
  const written = gathering()
  written.gather.add(-2)
  written.gather.add(5)
  while (written.failures.length === 0) await new Promise(setImmediate)
  assert.equal(written.gather.failingSince, written.clock.monotonic())
  assert.deepEqual(written.gather.items, [-2, 5])
  written.gather.drop()
  assert.equal(written.gather.failingSince, undefined)
  assert.equal(written.gather.length, 0)
})

test('the check fails when ends could not be stored for half a minute, or jobs not claimed', () => {
  const facts = { running: 0, buffered: 0, failures: 0, restarts: 0, unknown: 0, late: 0, refused: 0 }
  const check = (unstoredMs: number | undefined, failures: number, claimedMsAgo: number | undefined) => () =>
    checkQueue('q', { ...facts, unstoredMs, failures, claimedMsAgo })
  check(29_999, 9, 29_999)()
  check(undefined, 0, undefined)()
  const code = 'SLUICE_UNAVAILABLE'
  assert.throws(check(30_000, 0, 1), { code, message: 'ends of jobs of the queue "q" cannot be stored' })
  assert.throws(check(undefined, 1, 30_000), { code, message: 'jobs of the queue "q" cannot be claimed' })
})

const Work = job('work', z.number(), { attempts: 1, keepResult: '1h' })

test('a result that the database refuses makes a dead letter of its job alone', options, async () => {
  const errors: object[] = []
  const log = listeningLogger('error', (_text, fields) => void errors.push(fields))
  await using it = await testJobs({}, { log })
  await it.db.execute(`alter table sluice.done add constraint taken check (result <> '7')`)
  it.jobs.handle(Work, ({ data }) => data)
  const ids = await enqueue(it, 20)
  const dead = await eventually(() => it.jobs.deadLetters.get(ids[7]!))
  assert.match(dead.why, REFUSED)
  await eventually(async () => ((await open(it)) === 0 ? true : undefined))
  const others = ids.filter((_, at) => at !== 7)
  for (const id of others) assert.equal((await it.jobs.get(id))?.state, 'done')
  assert.deepEqual(
    errors.map((fields) => 'jobId' in fields && fields.jobId),
    [ids[7]],
  )
  const queues = it.open.component.inspect()['queues'] as Record<string, { refused: number }>
  assert.equal(queues['work']?.refused, 1)
})

test(
  'where the database takes no end at all, the component says for how long, until it takes one',
  options,
  async () => {
    await using it = await testJobs()
    await it.db.execute('alter table sluice.dead add constraint none check (false) not valid')
    it.jobs.handle(Work, () => Promise.reject(new Error('failed')))
    const { id } = await it.jobs.enqueue(Work, 1)
    const unstored = (): number | undefined => {
      const queues = it.open.component.inspect()['queues'] as Record<string, { unstoredMs?: number }>
      return queues['work']?.unstoredMs
    }
    await eventually(() => Promise.resolve(unstored()))
    assert.equal((await it.jobs.get(id))?.state, 'running')
    await it.db.execute('alter table sluice.dead drop constraint none')
    // Of one round both texts are tried, and the second one may be the first that is taken.
    const { why } = await eventually(() => it.jobs.deadLetters.get(id))
    assert.ok(why === 'Error: failed' || REFUSED.test(why), why)
    await eventually(() => Promise.resolve(unstored() === undefined ? true : undefined))
  },
)

test('an error of which no part can be read is the end of its job all the same', options, async () => {
  await using it = await testJobs()
  const parts = ['name', 'message', 'stack', 'cause', 'code']
  it.jobs.handle(Work, ({ data }) => {
    const get = (): never => {
      throw new Error('trap')
    }
    return Promise.reject(Object.defineProperty(new Error('x'), parts[data]!, { get }))
  })
  await enqueue(it, parts.length)
  await eventually(async () =>
    (await it.jobs.deadLetters.list()).length === parts.length ? true : undefined,
  )
  assert.equal(await open(it), 0)
})

for (const transaction of [false, true]) {
  test(
    `an error that the database refuses harms no other job, transaction: ${transaction}`,
    options,
    async () => {
      await using it = await testJobs()
      await it.db.execute(`alter table sluice.dead add constraint taken check (why <> 'Error: 7')`)
      it.jobs.handle(Work, ({ data }) => Promise.reject(new Error(String(data))), { transaction })
      const ids = await enqueue(it, 20)
      const list = await eventually(async () => {
        const dead = await it.jobs.deadLetters.list()
        return dead.length === 20 ? dead : undefined
      })
      for (const { id, why } of list) {
        const at = ids.indexOf(id)
        if (at === 7) assert.match(why, REFUSED)
        else assert.equal(why, `Error: ${at}`)
      }
      assert.equal(await open(it), 0)
    },
  )
}

test('of gathered enqueues the database refuses only the one that it does not take', options, async () => {
  await using it = await testJobs()
  await it.jobs.enqueue(Work, 0)
  await it.db.execute(`alter table sluice.task add constraint taken check (grp <> 'bad')`)
  const calls = Array.from({ length: 20 }, (_, at) =>
    it.jobs.enqueue(Work, at, { group: at === 7 ? 'bad' : `good ${at % 3}` }),
  )
  const results = await Promise.allSettled(calls)
  assert.deepEqual(
    results.flatMap(({ status }, at) => (status === 'rejected' ? [at] : [])),
    [7],
  )
  await assert.rejects(calls[7]!, { code: 'SLUICE_CONFLICT' })
  const ids = await Promise.all(calls.filter((_, at) => at !== 7))
  assert.equal(new Set(ids.map(({ id }) => id)).size, 19)
  // All or none, as one call says.
  const many = Array.from({ length: 5 }, (_, at) => ({ data: at, group: at === 3 ? 'bad' : 'many' }))
  await assert.rejects(it.jobs.enqueueMany(Work, many), { code: 'SLUICE_CONFLICT' })
  assert.equal((await it.jobs.group('many')).open, 0)
})

async function enqueue(it: TestJobs, count: number): Promise<string[]> {
  const items = Array.from({ length: count }, (_, data) => ({ data }))
  return (await it.jobs.enqueueMany(Work, items)).map(({ id }) => id)
}

async function open(it: TestJobs): Promise<number> {
  const row = await it.db.queryOne<{ n: number }>('select count(*)::int as n from sluice.task')
  return row!.n
}
