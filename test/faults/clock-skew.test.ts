/** Machines whose clocks are wrong by ten minutes: leases and due times are the database's. */
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { suite, test } from 'node:test'
import { systemClock, type Clock } from '../../src/core/clock.ts'
import { durableDatabase } from '../support/durable-database.ts'
import { programMissing } from '../support/servers.ts'
import { durablePrograms, openDurable, ORDERS, type Durable } from './support/durable.ts'
import { until } from './support/until.ts'

const options = { timeout: 60_000 }
const start = durablePrograms()

const SKEW_MS = 600_000
/** Longer than a dead process is waited for, and much shorter than the clocks differ. */
const HOLD_MS = 4_500
const LIBRARY = '/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1'
const noLibrary = existsSync(LIBRARY) ? false : programMissing('faketime') || `there is no ${LIBRARY}`

/** A clock that is wrong from the start, and runs as fast as any other. */
function wrongBy(ms: number): Clock {
  return { ...systemClock, now: () => systemClock.now() + ms }
}

suite('a clock that is wrong', { concurrency: 4, ...options, timeout: 170_000 }, () => {
  for (const skewMs of [SKEW_MS, -SKEW_MS]) {
    const by = `${skewMs / 60_000} minutes`
    for (const kind of ['jobs', 'keyed', 'events'] as const) {
      test(
        `by ${by} in a worker of ${kind}: nobody loses what it holds, and all is done once`,
        options,
        async () => {
          await using own = await durableDatabase()
          const begun: string[] = []
          const holding = Promise.withResolvers<void>()
          const during = async (id: string): Promise<void> => {
            begun.push(id)
            if (id !== 'one') return
            holding.resolve()
            await sleep(HOLD_MS)
          }
          await using wrong = await openDurable(own.dsn, kind, { clock: wrongBy(skewMs), during })
          await wrong.prepare()
          await using right = await openDurable(own.dsn, kind, { during })
          await wrong.handIn('one')
          await wrong.work()
          await holding.promise
          await right.work()
          for (const id of ORDERS.slice(1)) await right.handIn(id)
          await allDone(right)
          assert.equal(begun.filter((id) => id === 'one').length, 1, 'it was begun by both')
          await nobodyDied(right)
        },
      )
    }

    test(
      `by ${by} of a whole process, as the system tells it: it keeps its job, and its end counts`,
      { ...options, skip: noLibrary },
      async () => {
        await using own = await durableDatabase()
        const begun: string[] = []
        await using right = await openDurable(own.dsn, 'jobs', { during: (id) => void begun.push(id) })
        await right.prepare()
        await using wrong = start(own.dsn, 'jobs', {
          env: {
            STUBBORN: '1',
            LD_PRELOAD: LIBRARY,
            FAKETIME: `${skewMs > 0 ? '+' : '-'}${SKEW_MS / 60_000}m`,
            // Event loops hang where that is wrong as well.
            FAKETIME_DONT_FAKE_MONOTONIC: '1',
          },
        })
        await wrong.said('begun')
        await wrong.said('ready')
        await right.work()
        await sleep(HOLD_MS)
        await nobodyDied(right)
        wrong.child.send('go on')
        await allDone(right)
        assert.ok(!begun.includes('one'), 'it was begun by both')
      },
    )
  }
})

async function allDone({ db }: Durable): Promise<void> {
  const effects = await until(
    () => db.query<{ id: string }>('select id from effects'),
    ({ length }) => length >= ORDERS.length,
  )
  assert.deepEqual(effects.map(({ id }) => id).toSorted(), ORDERS.toSorted())
}

async function nobodyDied({ db }: Durable): Promise<void> {
  const dead = await db.query('select name from sluice.worker where dead_at is not null')
  assert.deepEqual(dead, [])
}
