/** Jobs with keys: one of a key at a time, in the order of their enqueueing, over all processes. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { z } from 'zod'
import { KEY_SHARDS, keyShard } from '../../src/engine/tasks/keyed.ts'
import { job, type JobContext } from '../../src/jobs/index.ts'
import { aborted } from '../engine/leases-support.ts'
import { testJobs } from './support.ts'

const options = { timeout: 60_000 }
const Step = job('step', z.object({ key: z.string(), at: z.number() }), {
  attempts: 50,
  backoff: { base: 1, max: 2 },
  concurrency: 64,
})
type Data = { readonly key: string; readonly at: number }

test('the shard of a key is the same for ever', () => {
  assert.equal(KEY_SHARDS, 8)
  assert.deepEqual(
    ['', 'a', 'user:1', 'user:2', 'Zoë', '鍵', '🔑'].map((key) => keyShard(key)),
    [5, 4, 3, 6, 4, 2, 7],
  )
  const counts = Array.from({ length: KEY_SHARDS }, () => 0)
  for (let user = 0; user < 8_000; user++) counts[keyShard(`user:${user}`)]! += 1
  assert.ok(
    counts.every((count) => count > 700 && count < 1_300),
    String(counts),
  )
})

test(
  'order holds within each key, with failures, eight workers and one who comes late',
  options,
  async () => {
    const keys = 20
    const each = 50
    await using it = await testJobs()
    const peers = await Promise.all(Array.from({ length: 7 }, () => it.peer()))
    const log = new Log(keys * each)
    // Every seventh attempt fails.
    const handler = async (context: JobContext<Data>): Promise<void> => {
      const begun = log.begin(context)
      await new Promise((resolve) => setImmediate(resolve))
      if (begun % 7 !== 0) return log.end(context)
      log.failed(context)
      throw new Error('again')
    }
    it.jobs.handle(Step, handler)
    const items = Array.from({ length: keys * each }, (_, n) => ({
      data: { key: `k${n % keys}`, at: Math.floor(n / keys) },
      key: `k${n % keys}`,
    }))
    await it.jobs.enqueueMany(Step, items.slice(0, items.length / 2))
    for (const { api } of peers) api.handle(Step, handler)
    await it.jobs.enqueueMany(Step, items.slice(items.length / 2))
    await log.complete
    for (let key = 0; key < keys; key++) {
      assert.deepEqual(
        log.done.get(`k${key}`),
        Array.from({ length: each }, (_, at) => at),
      )
    }
    assert.equal(log.overlaps, 0)
  },
)

test('a key that always fails holds up nobody but itself', options, async () => {
  await using it = await testJobs()
  const Picky = job('picky', z.object({ key: z.string() }), { attempts: 100, backoff: { base: '1h' } })
  const ran: string[] = []
  const done = Promise.withResolvers<void>()
  it.jobs.handle(Picky, ({ data: { key } }) => {
    if (key === 'bad') throw new Error('never')
    if (ran.push(key) === 1_000) done.resolve()
  })
  const bad = Array.from({ length: 300 }, () => ({ data: { key: 'bad' }, key: 'bad' }))
  const good = Array.from({ length: 1_000 }, (_, n) => ({ data: { key: `k${n}` }, key: `k${n}` }))
  await it.jobs.enqueueMany(Picky, [...bad.slice(0, 150), ...good, ...bad.slice(150)])
  await done.promise
  assert.equal(new Set(ran).size, 1_000)
  const left = await it.db.query<{ attempt: number; n: number }>(
    'select attempt, count(*)::int as n from sluice.task where key = $1 group by attempt order by attempt',
    ['bad'],
  )
  // Full jitter may have let the first one run a few times; the others wait behind it.
  assert.equal(left.find(({ attempt }) => attempt === 0)?.n, 299)
})

test(
  'a key goes on behind its dead letter, and behind one that was cancelled while it waited',
  options,
  async () => {
    await using it = await testJobs()
    const Once = job('once', z.number(), { attempts: 1 })
    const started: number[] = []
    const open = Promise.withResolvers<void>()
    const first = Promise.withResolvers<void>()
    const last = Promise.withResolvers<void>()
    it.jobs.handle(Once, async ({ data }) => {
      started.push(data)
      if (data === 1) {
        first.resolve()
        await open.promise
        throw new Error('dies')
      }
      if (data === 3) last.resolve()
    })
    const key = 'k'
    const [, second] = await it.jobs.enqueueMany(
      Once,
      [1, 2, 3].map((data) => ({ data, key })),
    )
    await first.promise
    await it.db.execute('delete from sluice.task where id = $1 and owner is null', [second!.id])
    open.resolve()
    await last.promise
    assert.deepEqual(started, [1, 3])
    assert.equal((await it.db.query('select 1 from sluice.dead')).length, 1)
  },
)

test('a delayed job of a key lets those pass that are due', options, async () => {
  await using it = await testJobs()
  const order: number[] = []
  const done = Promise.withResolvers<void>()
  it.jobs.handle(Step, ({ data }) => {
    if (order.push(data.at) === 3) done.resolve()
  })
  const at = (n: number): Data => ({ key: 'k', at: n })
  // Longer than it takes to enqueue the others, also on a machine that does other things.
  await it.jobs.enqueue(Step, at(1), { key: 'k', delay: '5s' })
  await it.jobs.enqueue(Step, at(2), { key: 'k' })
  await it.jobs.enqueue(Step, at(3), { key: 'k' })
  await done.promise
  assert.deepEqual(order, [2, 3, 1])
})

test('what an open transaction holds back is run once it commits, whatever ran before', options, async () => {
  await using it = await testJobs()
  const seen = new Set<number>()
  const waiting = new Map<number, () => void>()
  it.jobs.handle(Step, ({ data }) => {
    assert.ok(!seen.has(data.at))
    seen.add(data.at)
    waiting.get(seen.size)?.()
  })
  const count = (n: number): Promise<void> =>
    new Promise((resolve) => (seen.size >= n ? resolve() : waiting.set(n, resolve)))
  const holding = Promise.withResolvers<void>()
  const held = Promise.withResolvers<void>()
  const early = it.db.transaction(async (tx) => {
    // Inside of a savepoint, whose own id is no transaction's that a snapshot knows.
    await tx.transaction(async (inner) => {
      await it.jobs.enqueueMany(
        Step,
        [0, 1, 2, 3, 4].map((at) => ({ data: { key: `a${at}`, at }, key: `a${at}` })),
        { tx: inner },
      )
    })
    holding.resolve()
    await held.promise
  })
  await holding.promise
  for (let at = 5; at < 50; at++) await it.jobs.enqueue(Step, { key: `b${at}`, at }, { key: `b${at}` })
  await count(45)
  held.resolve()
  await early
  await count(50)
})

test(
  'what a process had under way when it was taken for dead holds its key up, and runs again',
  options,
  async () => {
    await using it = await testJobs()
    const peer = await it.peer()
    const log: string[] = []
    const begun = Promise.withResolvers<void>()
    const lost = Promise.withResolvers<void>()
    const done = Promise.withResolvers<void>()
    let isFirst = true
    const handler = async ({ data, signal, attempt }: JobContext<Data>): Promise<void> => {
      if (isFirst) {
        isFirst = false
        begun.resolve()
        await aborted(signal)
        lost.resolve()
        return
      }
      log.push(`${data.at}.${attempt}`)
      if (data.at === 2) done.resolve()
    }
    it.jobs.handle(Step, handler)
    await it.jobs.enqueueMany(
      Step,
      [1, 2].map((at) => ({ data: { key: 'k', at }, key: 'k' })),
    )
    await begun.promise
    peer.api.handle(Step, handler)
    const [held] = await it.db.query<{ owner: string }>(
      'select owner from sluice.task where owner is not null',
    )
    await it.db.execute(
      `update sluice.worker set dead_at = clock_timestamp() - interval '1 minute' where id = $1`,
      [held!.owner],
    )
    await lost.promise
    // As the reaper does it: its process may only be frozen, so this is later than the loss of the shard.
    await it.db.execute('update sluice.task set owner = null, attempt = attempt - 1 where owner = $1', [
      held!.owner,
    ])
    await done.promise
    assert.deepEqual(log, ['1.1', '2.1'])
  },
)

/** What ran, by key. */
class Log {
  readonly done = new Map<string, number[]>()
  readonly #running = new Set<string>()
  readonly #complete = Promise.withResolvers<void>()
  #left: number
  #begun = 0
  overlaps = 0

  constructor(jobs: number) {
    this.#left = jobs
  }

  get complete(): Promise<void> {
    return this.#complete.promise
  }

  begin({ data }: JobContext<Data>): number {
    if (this.#running.has(data.key)) this.overlaps++
    this.#running.add(data.key)
    return ++this.#begun
  }

  failed({ data }: JobContext<Data>): void {
    this.#running.delete(data.key)
  }

  end({ data }: JobContext<Data>): void {
    this.#running.delete(data.key)
    const done = this.done.get(data.key) ?? []
    done.push(data.at)
    this.done.set(data.key, done)
    if (--this.#left === 0) this.#complete.resolve()
  }
}
