/**
 * A process that is killed at each moment between two steps of durable work. What it committed is done once, in the
 * transaction of a handler, by the process that comes after; what it did not commit is not done at all.
 */
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { durableDatabase } from '../support/durable-database.ts'
import { bury, durablePrograms, openDurable, type Durable, type Kind } from './support/durable.ts'
import { until } from './support/until.ts'

const start = durablePrograms()
const options = { timeout: 60_000 }

const MOMENTS: readonly (readonly [kind: Kind, moment: string, count?: number])[] = [
  ['jobs', 'jobs.enqueue', 3],
  ['jobs', 'jobs.enqueued', 3],
  ['jobs', 'jobs.claimed'],
  ['jobs', 'jobs.committing'],
  ['jobs', 'jobs.handled'],
  ['jobs', 'jobs.failed'],
  ['keyed', 'jobs.claimed', 2],
  ['keyed', 'jobs.committing', 2],
  ['keyed', 'jobs.handled', 2],
  ['keyed', 'jobs.failed'],
  ['events', 'events.publish', 3],
  ['events', 'events.published', 3],
  ['events', 'events.ticked'],
  ['events', 'events.read'],
  ['events', 'events.committing', 2],
  ['events', 'events.handled', 2],
  ['parked events', 'events.parked'],
  ['cron', 'cron.claimed'],
  ['cron', 'cron.committing'],
  ['cron', 'cron.ran'],
  ['cron', 'cron.finished'],
]

suite('killed', { concurrency: 4, ...options, timeout: 170_000 }, () => {
  for (const [kind, moment, count = 1] of MOMENTS) {
    test(
      `at ${moment} of ${kind}, number ${count}: what was committed is done, and once`,
      options,
      async () => {
        await using own = await durableDatabase()
        await using heir = await openDurable(own.dsn, kind, { pollInterval: '500ms' })
        await heir.prepare()
        await using victim = start(own.dsn, kind, { moment, count })
        assert.equal(await victim.exited, 'SIGKILL')
        await bury(heir)
        await heir.work()
        await finished(heir, kind)
      },
    )
  }

  for (const [kind, moment] of [
    ['plain jobs', 'jobs.acked'],
    ['plain events', 'events.moved'],
  ] as const) {
    test(
      `at ${moment} of ${kind}: all that was committed is done, and what was written down as done not again`,
      options,
      async () => {
        await using own = await durableDatabase()
        await using heir = await openDurable(own.dsn, kind, { pollInterval: '500ms' })
        await heir.prepare()
        await using victim = start(own.dsn, kind, { moment })
        assert.equal(await victim.exited, 'SIGKILL')
        await bury(heir)
        const ids = async (sql: string): Promise<string[]> =>
          (await heir.db.query<{ id: string }>(sql)).map(({ id }) => id)
        const handedIn = await ids('select id from orders')
        const left = await ids(`select body::json ->> 'id' as id from sluice.task`)
        const isOver = (id: string): boolean => kind === 'plain jobs' && !left.includes(id)
        if (kind === 'plain jobs') assert.ok(handedIn.some(isOver), 'an end was written down')
        await heir.work()
        const effects = await until(
          () => ids('select id from effects'),
          (seen) => handedIn.every((id) => seen.includes(id)),
        )
        assert.deepEqual(new Set(effects), new Set(handedIn))
        for (const id of handedIn.filter(isOver)) {
          assert.equal(effects.filter((each) => each === id).length, 1, id)
        }
      },
    )
  }

  test('at the release of its jobs, while it stops: they are run by others', options, async () => {
    await using own = await durableDatabase()
    await using heir = await openDurable(own.dsn, 'jobs', { pollInterval: '500ms' })
    await heir.prepare()
    await using victim = start(own.dsn, 'jobs', { moment: 'jobs.released' })
    await victim.said('begun')
    await victim.said('ready')
    victim.child.kill('SIGTERM')
    assert.equal(await victim.exited, 'SIGKILL')
    await bury(heir)
    await heir.work()
    await finished(heir, 'jobs')
  })
})

/** Every order that was committed has its effect, and nothing else has one. */
async function finished({ db }: Durable, kind: Kind): Promise<void> {
  const look = async (): Promise<{ readonly orders: string[]; readonly effects: string[] }> => {
    const ids = async (table: string): Promise<string[]> =>
      (await db.query<{ id: string }>(`select id from ${table} order by id`)).map(({ id }) => id)
    return { orders: await ids('orders'), effects: await ids('effects') }
  }
  if (kind === 'cron') {
    // The order of a run by hand is committed before it: the last may be without.
    await until(
      () => openRuns(db),
      (open) => open === 0,
    )
    const { orders, effects } = await look()
    const [runs] = await db.query<{ n: number }>(
      'select count(*)::int as n from sluice.cron_run where manual is not null',
    )
    assert.equal(new Set(effects).size, effects.length)
    assert.equal(effects.length, runs?.n)
    assert.ok(effects.length > 0 && effects.length >= orders.length - 1 && effects.length <= orders.length)
    return
  }
  const { orders, effects } = await until(look, (seen) => seen.effects.length >= seen.orders.length)
  assert.deepEqual(effects, orders)
}

async function openRuns(db: Durable['db']): Promise<number> {
  const [row] = await db.query<{ n: number }>(
    `select count(*)::int as n from sluice.cron_run where finished is null`,
  )
  return row?.n ?? 0
}
