/** Jobs that end their process, and those that are held beside them. */
import assert from 'node:assert/strict'
import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { test } from 'node:test'
import { z } from 'zod'
import { job, type BatchContext } from '../../src/jobs/index.ts'
import { eventually, testJobs, type TestJobs } from './support.ts'

const program = new URL('./poison-program.ts', import.meta.url)
const options = { timeout: 280_000 }
const Poison = job('poison', z.object({ n: z.number() }), { attempts: 3 })
const NUMBERS = Array.from({ length: 20 }, (_, n) => n)

interface Victim extends AsyncDisposable {
  readonly child: ChildProcess
  /** With the signal that ended it. */
  readonly ended: Promise<unknown>
}

function victim({ dsn }: TestJobs, mode: string): Victim {
  const child = fork(program, [dsn, mode], { execArgv: ['--conditions=sluice-source'] })
  const ended = once(child, 'exit').then(([, signal]) => signal as unknown)
  return {
    child,
    ended,
    async [Symbol.asyncDispose]() {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL')
      await ended
    },
  }
}

/** What the process held is free, as it is by itself a few seconds later. */
async function bury({ db }: TestJobs, { child }: Victim): Promise<void> {
  await db.execute(
    `update sluice.worker set dead_at = clock_timestamp() - interval '1 minute' where (info ->> 'pid')::int = $1`,
    [child.pid],
  )
  await eventually(async () => {
    const owned = await db.query(
      `select from sluice.task t join sluice.worker w on w.id = t.owner where (w.info ->> 'pid')::int = $1
       union all
       select from sluice.lot l join sluice.worker w on w.id = l.owner where (w.info ->> 'pid')::int = $1`,
      [child.pid],
    )
    return owned.length === 0 ? true : undefined
  })
}

const effects = (it: TestJobs): PromiseLike<{ n: number; times: number }[]> =>
  it.db.query('select n, count(*)::int as times from effects group by n order by n')

/** Of a job, in the stead of a kill: whoever holds it is dead, and all that it holds is free, before it has ended. */
async function die({ db }: TestJobs, id: string, signal: AbortSignal): Promise<never> {
  const lost = once(signal, 'abort')
  await db.execute(
    `update sluice.worker set dead_at = clock_timestamp() - interval '1 minute'
     where id = coalesce((select owner from sluice.task where id = $1), (select owner from sluice.lot where $1 = any(ids)))`,
    [id],
  )
  await lost
  throw signal.reason
}

test(
  'a job that ends its process each time is a dead letter after its attempts, and its neighbours are done, once each',
  options,
  async () => {
    await using it = await testJobs()
    await it.db.execute('create table effects (n int not null)')
    await it.jobs.enqueueMany(
      Poison,
      NUMBERS.map((n) => ({ data: { n } })),
    )
    for (let crash = 1; crash <= 3; crash++) {
      assert.deepEqual(await it.jobs.deadLetters.list(), [], 'none is dead before its last attempt')
      await using one = victim(it, 'transaction')
      assert.equal(await one.ended, 'SIGKILL')
      await bury(it, one)
    }
    const letters = await it.jobs.deadLetters.list()
    assert.deepEqual(
      letters.map(({ data, why, errors }) => [data, why, errors.length]),
      [[{ n: 5 }, 'worker lost', 3]],
    )
    it.jobs.handle(
      Poison,
      async ({ data: { n }, tx }) => {
        await tx.execute('insert into effects (n) values ($1)', [n])
      },
      { transaction: true },
    )
    const all = await eventually(async () => {
      const rows = await effects(it)
      return rows.length >= NUMBERS.length - 1 ? rows : undefined
    })
    assert.deepEqual(
      all,
      NUMBERS.filter((n) => n !== 5).map((n) => ({ n, times: 1 })),
    )
  },
)

test('a process that is killed takes no job along that has one attempt', options, async () => {
  await using it = await testJobs()
  await it.jobs.enqueueMany(
    job('poison', z.object({ n: z.number() }), { attempts: 1 }),
    NUMBERS.map((n) => ({ data: { n } })),
  )
  {
    await using one = victim(it, 'waits')
    await once(one.child, 'message')
    one.child.kill('SIGKILL')
    await one.ended
    await bury(it, one)
  }
  const done: number[] = []
  let running = 0
  let most = 0
  const all = Promise.withResolvers<void>()
  it.jobs.handle(Poison, async ({ data }) => {
    running++
    most = Math.max(most, running)
    await it.db.query('select 1')
    running--
    done.push(data.n)
    if (done.length === NUMBERS.length) all.resolve()
  })
  await all.promise
  assert.deepEqual(await it.jobs.deadLetters.list(), [])
  assert.deepEqual(
    done.toSorted((a, b) => a - b),
    NUMBERS,
  )
  assert.equal(most, 1, 'each ran alone, as none of them has an attempt to spare')
})

for (const [what, count, extra] of [
  ['in a lot', 60, {}],
  ['with keys', 20, { key: true }],
] as const) {
  test(`neighbours ${what} of a job whose worker dies each time keep their attempts`, options, async () => {
    await using it = await testJobs({ concurrency: 60 })
    await it.jobs.enqueueMany(
      Poison,
      Array.from({ length: count }, (_, n) => ({
        data: { n },
        ...('key' in extra ? { key: `key ${n}` } : {}),
      })),
    )
    const done = new Map<number, number>()
    const all = Promise.withResolvers<void>()
    let deaths = 0
    it.jobs.handle(Poison, async ({ id, data, attempt, signal }) => {
      if (data.n === 5) return die(it, id, signal).finally(() => deaths++)
      // None of them ends before two deaths.
      if (deaths < 2) await once(signal, 'abort')
      signal.throwIfAborted()
      done.set(data.n, attempt)
      if (done.size === count - 1) all.resolve()
    })
    await all.promise
    assert.deepEqual([...new Set(done.values())], [1])
    const [letter] = await eventually(async () => {
      const letters = await it.jobs.deadLetters.list()
      return letters.length > 0 ? letters : undefined
    })
    assert.deepEqual([letter?.data, letter?.errors.length], [{ n: 5 }, 3])
  })
}

test(
  'neighbours in one call with a job whose worker dies each time are done in calls without it',
  options,
  async () => {
    await using it = await testJobs()
    await it.jobs.enqueueMany(
      Poison,
      NUMBERS.map((n) => ({ data: { n } })),
    )
    const done = new Set<number>()
    const sizes: number[] = []
    const all = Promise.withResolvers<void>()
    it.jobs.handle(
      Poison,
      async ({ jobs: items, signal }: BatchContext<{ n: number }>) => {
        const poison = items.find(({ data }) => data.n === 5)
        sizes.push(items.length)
        if (poison !== undefined) await die(it, poison.id, signal)
        for (const { data } of items) done.add(data.n)
        if (done.size === NUMBERS.length - 1) all.resolve()
      },
      { batch: NUMBERS.length, concurrency: 1 },
    )
    await all.promise
    const [letter] = await eventually(async () => {
      const letters = await it.jobs.deadLetters.list()
      return letters.length > 0 ? letters : undefined
    })
    assert.deepEqual([letter?.data, letter?.errors.length], [{ n: 5 }, 3])
    assert.deepEqual(sizes.slice(0, 2), [NUMBERS.length, NUMBERS.length])
    assert.ok(sizes.slice(2).every((size) => size === 1))
  },
)
