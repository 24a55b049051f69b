/** Processes that are killed, frozen or told to stop while their jobs run: who does these, how soon, and how often. */
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import * as timing from '../../src/engine/worker/timing.ts'
import { durableDatabase } from '../support/durable-database.ts'
import { durablePrograms, openDurable, ORDERS, type Kind } from './support/durable.ts'
import { until } from './support/until.ts'

const options = { timeout: 60_000 }
const start = durablePrograms()

/** What is promised for one that is frozen or cut off, and for one that stops. */
const FROZEN_MS = 15_000
const RELEASED_MS = 2_000
/** For one that is killed. How long that takes here depends on what else this machine does, so that it is the times that are held. */
const KILLED_MS = 5_000
/** From when on one is freed of which nothing is known but its silence. */
const SILENT_MS = timing.DEAD_AFTER_MS + timing.FREE_AFTER_SILENCE_MS

/** A worker in this process that notes when each order was begun. */
async function openHeir(dsn: string, kind: Kind, pollInterval?: string) {
  const begun: string[] = []
  const begunAt = new Map<string, number>()
  const heir = await openDurable(dsn, kind, {
    ...(pollInterval === undefined ? {} : { pollInterval }),
    during(id) {
      begun.push(id)
      if (!begunAt.has(id)) begunAt.set(id, performance.now())
    },
  })
  await heir.prepare()
  const effects = async (): Promise<string[]> => {
    const rows = await heir.db.query<{ id: string }>('select id from effects')
    return rows.map(({ id }) => id)
  }
  return { ...heir, begun, begunAt, effects }
}

test('the times of liveness let the jobs of a killed process begin elsewhere within what is promised', () => {
  const found = timing.DEAD_WITHOUT_LOCK_MS + timing.LOOK_EVERY_MS
  const freed = timing.FREE_AFTER_CRASH_MS + timing.LOOK_EVERY_MS
  assert.ok(found + freed < KILLED_MS)
})

suite('a process', { concurrency: 4, ...options, timeout: 170_000 }, () => {
  test(
    'that is killed leaves the job of a key to another, and those behind it follow in order',
    options,
    async (t) => {
      await using own = await durableDatabase()
      await using heir = await openHeir(own.dsn, 'keyed')
      await using victim = start(own.dsn, 'keyed')
      await victim.said('begun')
      await victim.said('ready')
      await heir.work()
      victim.child.kill('SIGKILL')
      const killedAt = performance.now()
      await until(heir.effects, (effects) => effects.length === ORDERS.length)
      const ms = (heir.begunAt.get('one') ?? Infinity) - killedAt
      t.diagnostic(`begun again after ${Math.round(ms)} ms`)
      assert.ok(ms < SILENT_MS, `after ${Math.round(ms)} ms, as if it had been frozen`)
      assert.deepEqual(await heir.effects(), [...ORDERS])
      assert.deepEqual(heir.begun, ['one', 'fails', 'fails', 'two', 'three'])
    },
  )

  for (const kind of ['jobs', 'keyed'] as const) {
    test(
      `that is frozen loses its job of kind ${kind} to another, and its late answer counts for nothing`,
      options,
      async (t) => {
        await using own = await durableDatabase()
        await using heir = await openHeir(own.dsn, kind)
        await using victim = start(own.dsn, kind, { env: { STUBBORN: '1' } })
        await victim.said('begun')
        await victim.said('ready')
        await heir.work()
        victim.child.kill('SIGSTOP')
        const frozenAt = performance.now()
        await until(heir.effects, (effects) => effects.includes('one'))
        const ms = (heir.begunAt.get('one') ?? Infinity) - frozenAt
        t.diagnostic(`begun again after ${Math.round(ms)} ms`)
        assert.ok(ms <= FROZEN_MS, `after ${Math.round(ms)} ms`)
        victim.child.kill('SIGCONT')
        victim.child.send('go on')
        await victim.said('answered')
        victim.child.kill('SIGTERM')
        assert.equal(await victim.exited, '0')
        const effects = await until(heir.effects, ({ length }) => length >= ORDERS.length)
        assert.deepEqual(effects.toSorted(), ORDERS.toSorted())
      },
    )
  }

  test(
    'that stops gives the job back which does not end, and another begins it within two seconds',
    options,
    async (t) => {
      await using own = await durableDatabase()
      await using heir = await openHeir(own.dsn, 'jobs', '1h')
      await using victim = start(own.dsn, 'jobs')
      await victim.said('begun')
      await victim.said('ready')
      await heir.work()
      victim.child.kill('SIGTERM')
      assert.equal(await victim.exited, '0')
      const stoppedAt = performance.now()
      await until(heir.effects, (effects) => effects.length === ORDERS.length)
      const ms = (heir.begunAt.get('one') ?? Infinity) - stoppedAt
      t.diagnostic(`begun again after ${Math.round(ms)} ms`)
      assert.ok(ms <= RELEASED_MS, `after ${Math.round(ms)} ms`)
      assert.deepEqual((await heir.effects()).toSorted(), ORDERS.toSorted())
      const [row] = await heir.db.query<{ n: number }>('select count(*)::int as n from sluice.dead')
      assert.equal(row?.n, 0)
    },
  )
})
