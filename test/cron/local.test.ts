/** Schedules of one process, on a clock that moves only when told. */
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import type { Cron, CronContext, ScheduleOptions } from '../../src/cron/api.ts'
import { cron, type CronOptions } from '../../src/cron/index.ts'
import { connectComponent } from '../../src/testing/connect-component.ts'
import { leakCheck } from '../../src/testing/leak-check.ts'
import { ManualClock } from '../../src/testing/manual-clock.ts'

leakCheck()

const START = Date.UTC(2026, 0, 1)
const SECOND = 1_000
const HOUR = 3_600_000

async function open(clock: ManualClock, options: CronOptions = {}) {
  return connectComponent(cron(options), { clock })
}

/** Offsets from the start in seconds. */
function recorder(): { readonly fn: (context: CronContext) => void; readonly seen: number[] } {
  const seen: number[] = []
  return { seen, fn: ({ slot }) => void seen.push((slot.getTime() - START) / SECOND) }
}

/** A function that runs until it is told to end. */
class Held {
  readonly started: number[] = []
  readonly #open: (() => void)[] = []
  readonly fn = ({ slot }: CronContext): Promise<void> => {
    this.started.push((slot.getTime() - START) / SECOND)
    return new Promise((resolve) => this.#open.push(resolve))
  }
  release(): void {
    this.#open.shift()?.()
  }
}

async function statesOf(api: Cron, name: string): Promise<readonly string[]> {
  return (await api.history(name)).map(({ state }) => state).toReversed()
}

suite('in this process', () => {
  test('runs at each slot, with its history and its status', async () => {
    const clock = new ManualClock(START)
    await using open_ = await open(clock)
    const { seen, fn } = recorder()
    open_.api.schedule('tick', '*/10 * * * * *', fn)
    await clock.advance(35 * SECOND)
    assert.deepEqual(seen, [10, 20, 30])
    const [newest] = await open_.api.history('tick')
    assert.equal(newest?.slot.getTime(), START + 30 * SECOND)
    assert.equal(newest?.state, 'done')
    assert.equal(newest?.durationMs, 0)
    const [status] = await open_.api.schedules()
    assert.equal(status?.nextRun?.getTime(), START + 40 * SECOND)
    assert.equal(status?.lastRun?.getTime(), START + 30 * SECOND)
    assert.equal(status?.lastState, 'done')
    assert.equal(status?.running, 0)
  })

  const overlaps: readonly (readonly [ScheduleOptions['overlap'], readonly number[], readonly string[]])[] = [
    ['skip', [10], ['running', 'skipped', 'skipped']],
    ['queue', [10], ['running', 'queued', 'queued']],
    ['allow', [10, 20, 30], ['running', 'running', 'running']],
  ]
  for (const [overlap, started, states] of overlaps) {
    test(`overlap ${overlap}: what becomes of slots while a run is under way`, async () => {
      const clock = new ManualClock(START)
      await using open_ = await open(clock)
      const held = new Held()
      open_.api.schedule('slow', '*/10 * * * * *', held.fn, { overlap })
      await clock.advance(30 * SECOND)
      assert.deepEqual(held.started, started)
      assert.deepEqual(await statesOf(open_.api, 'slow'), states)
      for (let i = 0; i < 3; i++) {
        held.release()
        await clock.advance(1)
      }
      assert.deepEqual(held.started, overlap === 'skip' ? [10] : [10, 20, 30])
    })
  }

  const missed: readonly (readonly [ScheduleOptions['missed'], readonly number[]])[] = [
    ['skip', []],
    ['once', [3 * 3_600]],
    ['all', [3_600, 2 * 3_600, 3 * 3_600]],
  ]
  for (const [policy, runs] of missed) {
    test(`missed ${policy}: slots that passed while it was paused`, async () => {
      const clock = new ManualClock(START)
      await using open_ = await open(clock)
      const { seen, fn } = recorder()
      open_.api.schedule('hourly', '@hourly', fn, { missed: policy })
      await open_.api.pause('hourly')
      await clock.advance(3 * HOUR + 10 * 60 * SECOND)
      assert.deepEqual(seen, [])
      await open_.api.resume('hourly')
      await clock.advance(1)
      assert.deepEqual(seen, runs)
      await clock.advance(HOUR)
      assert.deepEqual(seen, [...runs, 4 * 3_600])
    })
  }

  test('a clock that jumps an hour ahead runs what is due now, and goes on from there', async () => {
    const clock = new ManualClock(START)
    await using open_ = await open(clock)
    const { seen, fn } = recorder()
    open_.api.schedule('quarterly', '*/15 * * * *', fn)
    await clock.advance(15 * 60 * SECOND)
    clock.jump(HOUR)
    await clock.advance(30 * SECOND)
    assert.deepEqual(seen, [900, 900 + 3_600], 'those in between were missed')
    await clock.advance(15 * 60 * SECOND)
    assert.deepEqual(seen, [900, 4_500, 5_400])
  })

  test('after a clock that jumps an hour back no slot runs twice', async () => {
    const clock = new ManualClock(START)
    await using open_ = await open(clock)
    const { seen, fn } = recorder()
    open_.api.schedule('quarterly', '*/15 * * * *', fn)
    await clock.advance(30 * 60 * SECOND)
    clock.jump(-HOUR)
    await clock.advance(HOUR)
    assert.deepEqual(seen, [900, 1_800])
    await clock.advance(15 * 60 * SECOND)
    assert.deepEqual(seen, [900, 1_800, 2_700])
  })

  test('a clock that was a day ahead and is set right begins anew', async () => {
    const clock = new ManualClock(START)
    await using open_ = await open(clock)
    const { seen, fn } = recorder()
    open_.api.schedule('hourly', '@hourly', fn)
    clock.jump(24 * HOUR)
    await clock.advance(31 * SECOND)
    clock.jump(-24 * HOUR)
    await clock.advance(HOUR)
    assert.deepEqual(seen, [24 * 3_600, 3_600])
  })

  test('fifty calls of runNow with one key are one run, one without a key is another', async () => {
    const clock = new ManualClock(START)
    await using open_ = await open(clock)
    const { seen, fn } = recorder()
    open_.api.schedule('digest', '@yearly', fn)
    const runs = await Promise.all(Array.from({ length: 50 }, () => open_.api.runNow('digest', { key: 'k' })))
    assert.equal(new Set(runs.map(({ id }) => id)).size, 1)
    assert.equal(runs.filter(({ created }) => created).length, 1)
    await open_.api.runNow('digest')
    await clock.advance(1)
    assert.equal(seen.length, 2)
  })

  test('reschedule and remove are in force at once, and a name may be used again', async () => {
    const clock = new ManualClock(START)
    await using open_ = await open(clock)
    const { seen, fn } = recorder()
    open_.api.schedule('a', '*/10 * * * * *', fn)
    await open_.api.reschedule('a', '*/7 * * * * *')
    await clock.advance(14 * SECOND)
    assert.deepEqual(seen, [7, 14])
    assert.equal(await open_.api.remove('a'), true)
    assert.equal(await open_.api.remove('a'), false)
    await clock.advance(14 * SECOND)
    assert.deepEqual(seen, [7, 14])
    open_.api.schedule('a', '*/10 * * * * *', fn)
    await clock.advance(2 * SECOND)
    assert.deepEqual(seen, [7, 14, 30])
    await assert.rejects(open_.api.pause('b'), { code: 'SLUICE_INVALID_ARGUMENT', message: /one of a/ })
    assert.throws(() => open_.api.schedule('a', '@daily', fn), { code: 'SLUICE_INVALID_ARGUMENT' })
  })

  test('a run that fails or takes too long is in the history with its error, and the next slot runs', async () => {
    const clock = new ManualClock(START)
    await using open_ = await open(clock)
    open_.api.schedule('bad', '*/10 * * * * *', () => {
      throw new Error('no such host, password=hunter2')
    })
    open_.api.schedule(
      'slow',
      '*/10 * * * * *',
      ({ signal }) =>
        new Promise((_, reject) => {
          signal.addEventListener('abort', () => reject(new Error('aborted')))
        }),
      { timeout: '3s' },
    )
    await clock.advance(25 * SECOND)
    const bad = await open_.api.history('bad')
    assert.deepEqual(
      bad.map(({ state, error }) => [state, error]),
      [
        ['failed', 'Error: no such host, password=***'],
        ['failed', 'Error: no such host, password=***'],
      ],
    )
    const slow = await open_.api.history('slow')
    assert.deepEqual(
      slow.map(({ state, durationMs }) => [state, durationMs]),
      [
        ['failed', 3_000],
        ['failed', 3_000],
      ],
    )
    assert.match(slow[0]?.error ?? '', /3000 ms|3 ?s/)
  })

  test('the history is bounded', async () => {
    const clock = new ManualClock(START)
    await using open_ = await open(clock, { historySize: 5 })
    open_.api.schedule('tick', '* * * * * *', () => {})
    await clock.advance(50 * SECOND)
    assert.equal((await open_.api.history('tick')).length, 5)
  })

  test('stopIntake fires nothing more at once; close waits for what runs, then aborts it', async () => {
    const clock = new ManualClock(START)
    const open_ = await open(clock, { shutdownTimeout: '5s' })
    const aborted: unknown[] = []
    const started = Promise.withResolvers<void>()
    let runs = 0
    open_.api.schedule('long', '* * * * * *', async ({ signal }) => {
      runs++
      started.resolve()
      await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()))
      aborted.push((signal.reason as { code?: string }).code)
    })
    await clock.advance(SECOND)
    await started.promise
    await open_.component.stopIntake?.(AbortSignal.timeout(5_000))
    await clock.advance(10 * SECOND)
    assert.equal(runs, 1)
    const closing = open_.close()
    await clock.advance(4 * SECOND)
    assert.deepEqual(aborted, [])
    await clock.advance(SECOND)
    await closing
    assert.deepEqual(aborted, ['SLUICE_SHUTDOWN'])
  })

  test('options that nobody knows are refused, with the nearest name', async () => {
    await using open_ = await open(new ManualClock(START))
    const mistyped = { timezon: 'Europe/Berlin' } as object
    const refused = {
      code: 'SLUICE_INVALID_ARGUMENT',
      message: /schedule "a": there is no option "timezon"/,
      hint: 'Did you mean "timezone"?',
    }
    assert.throws(() => open_.api.schedule('a', '@daily', () => {}, mistyped), refused)
    open_.api.schedule('a', '@daily', () => {}, { timezone: undefined })
    await assert.rejects(open_.api.reschedule('a', '@hourly', mistyped), refused)
  })

  test('what only a database can do is refused without one', async () => {
    await using open_ = await open(new ManualClock(START))
    const options = [{ retries: 1 }, { transaction: true }]
    for (const each of options)
      assert.throws(() => open_.api.schedule('a', '@daily', () => {}, each), { code: 'SLUICE_UNSUPPORTED' })
  })
})

suite('from configuration', () => {
  test('schedules have their times from it and their functions from code; one that is turned off does not run', async () => {
    const clock = new ManualClock(START)
    const config = {
      jobs: [
        { name: 'digest', schedule: '*/10 * * * * *', missed: 'once' },
        { name: 'off', schedule: '* * * * * *', enabled: false },
        { name: 'lonely', schedule: '@daily' },
      ],
    }
    const warned: string[] = []
    const log = {
      debug() {},
      info() {},
      error() {},
      warn: (_: unknown, message?: string) => void warned.push(message ?? ''),
      child: () => log,
    }
    await using open_ = await connectComponent(cron(), { clock, config, log })
    const digest = recorder()
    const off = recorder()
    open_.api.handle('digest', digest.fn)
    open_.api.schedule('off', '@daily', off.fn)
    await clock.advance(20 * SECOND)
    assert.deepEqual(digest.seen, [10, 20])
    assert.deepEqual(off.seen, [])
    await open_.check()
    await open_.check()
    assert.equal(warned.length, 1)
    assert.match(warned[0] ?? '', /cron\.jobs\.lonely: no function was registered/)
    assert.deepEqual(open_.api.status()['withoutFunction'], ['lonely'])
    assert.throws(() => open_.api.handle('digset', () => {}), {
      code: 'SLUICE_CONFIG',
      message: /cron\.jobs has no schedule "digset"; it has digest, off, lonely/,
    })
  })

  test('wrong expressions and zones are all told, with their place', async () => {
    const config = {
      jobs: { a: { schedule: '61 * * * *' }, b: { schedule: '@daily', timezone: 'Mars/X' }, c: {} },
    }
    await assert.rejects(connectComponent(cron(), { config }), (error: Error) => {
      assert.match(error.message, /cron\.jobs\.a: expression "61 \* \* \* \*"/)
      assert.match(error.message, /cron\.jobs\.b: time zone "Mars\/X" is not known/)
      assert.match(error.message, /cron\.jobs\.c: schedule is missing/)
      return true
    })
  })
})
