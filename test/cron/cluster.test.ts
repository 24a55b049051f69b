/** Schedules of several processes on one database: each slot once. */
import assert from 'node:assert/strict'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { test } from 'node:test'
import type { Cron, CronRun } from '../../src/cron/api.ts'
import { durableDatabase } from '../support/durable-database.ts'
import { Ledger, openNode } from './cluster-support.ts'

const options = { timeout: 60_000 }

/** Resolves when a run of this process was written down as ended, `count` times. */
function finished(count: number): { readonly done: Promise<void>; stop(): void } {
  const { promise, resolve } = Promise.withResolvers<void>()
  let left = count
  const listener = (): void => {
    left -= 1
    if (left === 0) resolve()
  }
  subscribe('sluice:cron.finished', listener)
  return { done: promise, stop: () => unsubscribe('sluice:cron.finished', listener) }
}

async function statesOf(api: Cron, name: string): Promise<readonly CronRun['state'][]> {
  return (await api.history(name)).map(({ state }) => state)
}

test('three schedulers of one schedule: each slot has one effect', options, async () => {
  await using own = await durableDatabase()
  const ledger = new Ledger()
  const register =
    (node: string) =>
    (api: Cron): void =>
      api.schedule('tick', '* * * * * *', ({ slot }) => ledger.add(`${slot.toISOString()} ${node}`), {
        missed: 'all',
        overlap: 'queue',
      })
  await using a = await openNode(own.dsn, register('a'))
  await using _b = await openNode(own.dsn, register('b'))
  await using _c = await openNode(own.dsn, register('c'))
  await ledger.until((lines) => lines.length >= 5)
  const slots = ledger.lines.map((line) => line.split(' ')[0] ?? '')
  assert.equal(new Set(slots).size, slots.length)
  const gaps = slots.slice(1).map((slot, index) => Date.parse(slot) - Date.parse(slots[index] ?? ''))
  assert.ok(
    gaps.every((gap) => gap === 1_000),
    `${slots.join(' ')}`,
  )
  const [status] = await a.api.schedules()
  assert.equal(status?.expression, '* * * * * *')
})

test('fifty calls of runNow with one key from two processes are one run', options, async () => {
  await using own = await durableDatabase()
  const ledger = new Ledger()
  const register = (api: Cron): void => api.schedule('digest', '@yearly', () => ledger.add('ran'))
  await using a = await openNode(own.dsn, register)
  await using b = await openNode(own.dsn, register)
  const end = finished(1)
  const runs = await Promise.all(
    Array.from({ length: 50 }, (_, i) => (i % 2 === 0 ? a : b).api.runNow('digest', { key: 'today' })),
  )
  assert.equal(new Set(runs.map(({ id }) => id)).size, 1)
  assert.equal(runs.filter(({ created }) => created).length, 1)
  await end.done
  end.stop()
  assert.equal(ledger.lines.length, 1)
  const [run] = await b.api.history('digest')
  assert.equal(run?.state, 'done')
  assert.equal(run?.key, 'today')
  assert.ok((run?.durationMs ?? -1) >= 0)
  await assert.rejects(a.api.runNow('digset'), { code: 'SLUICE_INVALID_ARGUMENT', message: /one of digest/ })
})

test(
  'overlap holds over processes: with queue runs follow each other, with skip they are left out',
  options,
  async () => {
    await using own = await durableDatabase()
    let running = 0
    let most = 0
    const release = Promise.withResolvers<void>()
    const ledger = new Ledger()
    const register = (api: Cron): void =>
      api.schedule(
        'slow',
        '@yearly',
        async () => {
          most = Math.max(most, ++running)
          ledger.add('started')
          await release.promise
          running -= 1
        },
        { overlap: 'queue' },
      )
    await using a = await openNode(own.dsn, register)
    await using b = await openNode(own.dsn, register)
    const end = finished(4)
    for (const node of [a, b, a, b]) await node.api.runNow('slow')
    await ledger.until((lines) => lines.length === 1)
    assert.deepEqual((await statesOf(a.api, 'slow')).toSorted(), ['queued', 'queued', 'queued', 'running'])
    release.resolve()
    await end.done
    end.stop()
    assert.equal(most, 1)
    assert.deepEqual(await statesOf(a.api, 'slow'), ['done', 'done', 'done', 'done'])
  },
)

test(
  'pause, resume and remove hold for all processes; the expression registered last wins',
  options,
  async () => {
    await using own = await durableDatabase()
    const ledger = new Ledger()
    const fn = ({ name }: { readonly name: string }): void => ledger.add(name)
    await using a = await openNode(own.dsn, (api) => api.schedule('tick', '* * * * * *', fn))
    await ledger.until((lines) => lines.length > 0)
    await a.api.pause('tick')
    assert.equal((await a.api.schedules())[0]?.paused, true)
    await using b = await openNode(own.dsn, (api) => api.schedule('tick', '@yearly', fn))
    // Asked through what follows its registration.
    await b.api.runNow('tick')
    const [status] = await a.api.schedules()
    assert.equal(status?.expression, '@yearly')
    assert.equal(status?.paused, true, 'a new deployment does not resume it')
    await a.api.resume('tick')
    await b.api.reschedule('tick', '0 0 1 7 *', { timezone: 'Europe/Berlin' })
    const [after] = await a.api.schedules()
    assert.match(after?.nextRun?.toISOString() ?? '', /-06-30T22:00:00/)
    assert.equal(await a.api.remove('tick'), true)
    assert.equal(await b.api.remove('tick'), false)
  },
)

for (const [missed, expected] of [
  ['skip', 0],
  ['once', 1],
  ['all', 3],
] as const) {
  test(`missed ${missed}: slots that passed while no process was there`, options, async () => {
    await using own = await durableDatabase()
    const register = (api: Cron): void => {
      api.schedule('yearly', '@yearly', () => {}, { missed })
      api.schedule('mark', '@yearly', () => {})
    }
    {
      await using first = await openNode(own.dsn, register)
      const end = finished(1)
      await first.api.runNow('mark')
      await end.done
      end.stop()
      // As if everybody had been away since the new year before the last.
      await first.api.pause('yearly')
      await first.db.execute(
        `update sluice.cron set next_at = date_trunc('year', clock_timestamp()) - interval '2 years' where name = 'yearly'`,
      )
    }
    const end = finished(expected + 1)
    await using second = await openNode(own.dsn, register)
    await second.api.resume('yearly')
    await second.api.runNow('mark', { key: 'after' })
    await end.done
    end.stop()
    const runs = await second.api.history('yearly')
    assert.equal(runs.length, expected)
    assert.ok(runs.every(({ slot }) => slot.getUTCMonth() === 0 && slot.getUTCDate() === 1))
    assert.ok(((await second.api.schedules())[1]?.nextRun?.getTime() ?? 0) > Date.now())
  })
}

test(
  'a function runs in a transaction that commits with the end of its run, or not at all',
  options,
  async () => {
    await using own = await durableDatabase()
    await using node = await openNode(own.dsn, (api) => {
      const transaction = { transaction: true }
      api.schedule(
        'good',
        '@yearly',
        ({ tx }) => tx?.execute(`insert into effect values ('good')`),
        transaction,
      )
      api.schedule(
        'bad',
        '@yearly',
        async ({ tx }) => {
          await tx?.execute(`insert into effect values ('bad')`)
          throw new Error('too late')
        },
        transaction,
      )
    })
    await node.db.execute('create table effect (name text)')
    const end = finished(2)
    await node.api.runNow('good')
    await node.api.runNow('bad')
    await end.done
    end.stop()
    assert.deepEqual(await node.db.query('select name from effect'), [{ name: 'good' }])
    assert.deepEqual(await statesOf(node.api, 'good'), ['done'])
    const [bad] = await node.api.history('bad')
    assert.equal(bad?.state, 'failed')
    assert.equal(bad?.error, 'Error: too late')
  },
)

test('a run that fails is retried as often as it may be, then failed', options, async () => {
  await using own = await durableDatabase()
  const attempts: number[] = []
  await using node = await openNode(own.dsn, (api) =>
    api.schedule(
      'flaky',
      '@yearly',
      ({ attempt }) => {
        attempts.push(attempt)
        throw new Error(`attempt ${attempt}`)
      },
      { retries: 1 },
    ),
  )
  const end = finished(2)
  await node.api.runNow('flaky')
  await end.done
  end.stop()
  assert.deepEqual(attempts, [1, 2])
  const [run] = await node.api.history('flaky')
  assert.equal(run?.state, 'failed')
  assert.equal(run?.error, 'Error: attempt 2')
})

test('close waits for runs and writes their end down', options, async () => {
  await using own = await durableDatabase()
  const started = Promise.withResolvers<void>()
  const release = Promise.withResolvers<void>()
  {
    await using node = await openNode(own.dsn, (api) =>
      api.schedule('long', '@yearly', async () => {
        started.resolve()
        await release.promise
      }),
    )
    await node.api.runNow('long')
    await started.promise
    await node.stopIntake()
    release.resolve()
  }
  await using other = await openNode(own.dsn, () => {})
  assert.deepEqual(await statesOf(other.api, 'long'), ['done'])
})
