import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { SluiceError } from '../../src/core/errors.ts'
import { Breaker, REFUSED } from '../../src/policy/breaker.ts'
import type { BreakerOptions } from '../../src/policy/breaker-options.ts'
import { strictest, type BreakerState } from '../../src/policy/breaker-state.ts'
import { ManualClock } from '../../src/testing/manual-clock.ts'

const unavailable = new SluiceError('SLUICE_UNAVAILABLE', 'gone', { retryable: true })
const mistake = new SluiceError('SLUICE_QUERY', 'syntax error')

function setup(options: Partial<BreakerOptions> = {}) {
  const clock = new ManualClock()
  const changes: string[] = []
  const onChange = (state: BreakerState, previous: BreakerState): void => {
    changes.push(`${previous.kind} > ${state.kind}`)
  }
  const base = { name: 'cache', clock, consecutive: 3, window: false, resetMs: 1_000, onChange } as const
  return { clock, changes, breaker: new Breaker({ ...base, ...options }) }
}

/** Read through a function: the compiler would take a state that was asserted once for constant. */
function kind(breaker: Breaker): BreakerState['kind'] {
  return breaker.state.kind
}

function fail(breaker: Breaker, times: number, error: unknown = unavailable): void {
  for (let i = 0; i < times; i += 1) breaker.failed(breaker.enter(), error)
}

test('failures in a row open it, a success in between starts the count anew', () => {
  const { breaker, changes } = setup()
  fail(breaker, 2)
  breaker.succeeded(breaker.enter())
  fail(breaker, 2)
  assert.equal(kind(breaker), 'closed')
  fail(breaker, 1)
  assert.equal(kind(breaker), 'open')
  assert.equal(breaker.enter(), REFUSED)
  assert.deepEqual(changes, ['closed > open'])
})

test('an open breaker refuses with an error that says when a probe is due', async () => {
  const { breaker, clock } = setup()
  fail(breaker, 3)
  await clock.advance(400)
  await assert.rejects(
    breaker.execute(() => 1),
    {
      code: 'SLUICE_BREAKER_OPEN',
      retryable: true,
      details: { breaker: 'open', retryAfterMs: 600 },
    },
  )
})

test('hastened, an open breaker lets one probe in at once, and any other state stays', async () => {
  const { breaker, clock } = setup()
  breaker.hasten()
  assert.equal(kind(breaker), 'closed')
  fail(breaker, 3)
  await clock.advance(10)
  breaker.hasten()
  const probe = breaker.enter()
  assert.notEqual(probe, REFUSED)
  breaker.hasten()
  assert.equal(breaker.enter(), REFUSED)
  breaker.failed(probe, unavailable)
  await clock.advance(999)
  assert.equal(breaker.enter(), REFUSED)
})

test('mistakes of the call and errors of foreign code do not open it', () => {
  const { breaker } = setup()
  fail(breaker, 10, mistake)
  fail(breaker, 10, new TypeError('bug'))
  for (let i = 0; i < 10; i += 1) breaker.ignored(breaker.enter())
  assert.equal(kind(breaker), 'closed')
})

test('after the reset time one probe goes through, and its success closes it', async () => {
  const { breaker, clock, changes } = setup()
  fail(breaker, 3)
  await clock.advance(1_000)
  const probe = breaker.enter()
  assert.notEqual(probe, REFUSED)
  assert.equal(breaker.enter(), REFUSED)
  breaker.succeeded(probe)
  assert.deepEqual(changes, ['closed > open', 'open > half-open', 'half-open > closed'])
})

test('a failed probe opens it for another reset time', async () => {
  const { breaker, clock } = setup()
  fail(breaker, 3)
  await clock.advance(1_000)
  fail(breaker, 1)
  assert.equal(breaker.enter(), REFUSED)
  await clock.advance(999)
  assert.equal(breaker.enter(), REFUSED)
  await clock.advance(1)
  assert.notEqual(breaker.enter(), REFUSED)
})

test('it closes after the number of successes asked for, with so many probes at a time as permitted', async () => {
  const { breaker, clock } = setup({ probes: 2, successesToClose: 3 })
  fail(breaker, 3)
  await clock.advance(1_000)
  const first = breaker.enter()
  const second = breaker.enter()
  assert.equal(breaker.enter(), REFUSED)
  breaker.succeeded(first)
  breaker.succeeded(second)
  assert.equal(kind(breaker), 'half-open')
  breaker.succeeded(breaker.enter())
  assert.equal(kind(breaker), 'closed')
})

test('a probe that never settles loses its permit after the reset time, and what it says later counts no more', async () => {
  const { breaker, clock } = setup()
  fail(breaker, 3)
  await clock.advance(1_000)
  const lost = breaker.enter()
  await clock.advance(999)
  assert.equal(breaker.enter(), REFUSED)
  await clock.advance(1)
  const second = breaker.enter()
  assert.notEqual(second, REFUSED)
  breaker.failed(lost, unavailable)
  assert.equal(kind(breaker), 'half-open')
  breaker.succeeded(second)
  assert.equal(kind(breaker), 'closed')
})

test('a probe that proves nothing gives its permit back', async () => {
  const { breaker, clock } = setup()
  fail(breaker, 3)
  await clock.advance(1_000)
  breaker.ignored(breaker.enter())
  breaker.failed(breaker.enter(), mistake)
  assert.notEqual(breaker.enter(), REFUSED)
})

test('calls that began before it opened neither close nor hold it open', async () => {
  const { breaker, clock } = setup()
  const early = [breaker.enter(), breaker.enter()]
  fail(breaker, 3)
  breaker.succeeded(early[0]!)
  assert.equal(kind(breaker), 'open')
  await clock.advance(1_000)
  const probe = breaker.enter()
  breaker.failed(early[1]!, unavailable)
  assert.equal(kind(breaker), 'half-open')
  breaker.succeeded(probe)
  assert.equal(kind(breaker), 'closed')
})

test('the rate of failures in the window opens it, though no failures come in a row', async () => {
  const window = { durationMs: 1_000, minimumCalls: 10, failureRate: 0.5 }
  const { breaker, clock } = setup({ consecutive: 0, window })
  for (let i = 0; i < 4; i += 1) {
    breaker.succeeded(breaker.enter())
    fail(breaker, 1)
  }
  await clock.advance(1_000)
  for (let i = 0; i < 4; i += 1) {
    breaker.succeeded(breaker.enter())
    fail(breaker, 1)
  }
  assert.equal(kind(breaker), 'closed', 'what is older than the window counts no more')
  breaker.succeeded(breaker.enter())
  fail(breaker, 1)
  assert.equal(kind(breaker), 'open')
})

test('a hold isolates or forces through whatever happens, until it is released', () => {
  const { breaker } = setup()
  breaker.hold('open')
  assert.equal(breaker.enter(), REFUSED)
  breaker.hold('closed')
  fail(breaker, 20)
  assert.notEqual(breaker.enter(), REFUSED)
  assert.deepEqual(breaker.state, { kind: 'held', as: 'closed' })
  breaker.release()
  assert.deepEqual(breaker.state, { kind: 'closed', failuresInARow: 0 })
})

test('it can be opened by hand, and recovers as from failures', async () => {
  const { breaker, clock } = setup()
  breaker.trip()
  assert.equal(breaker.enter(), REFUSED)
  await clock.advance(1_000)
  breaker.succeeded(breaker.enter())
  assert.equal(kind(breaker), 'closed')
})

test('a jump of the wall clock changes nothing', () => {
  const { breaker, clock } = setup()
  fail(breaker, 3)
  clock.jump(3_600_000)
  assert.equal(breaker.enter(), REFUSED)
})

test('a listener that throws does not disturb it', () => {
  const { breaker } = setup({
    onChange: () => {
      throw new Error('listener')
    },
  })
  fail(breaker, 3)
  assert.equal(kind(breaker), 'open')
})

test('options outside their range are refused with the name of the breaker and the option', () => {
  const bad: Partial<BreakerOptions>[] = [
    { consecutive: -1 },
    { resetMs: 0 },
    { resetMs: NaN },
    { probes: 0 },
    { successesToClose: Infinity },
    { window: { durationMs: 1_000, minimumCalls: 0, failureRate: 0.5 } },
    { window: { durationMs: 1_000, minimumCalls: 1, failureRate: 1.5 } },
  ]
  for (const options of bad) {
    assert.throws(() => setup(options), {
      code: 'SLUICE_INVALID_ARGUMENT',
      message: /^breaker "cache": .*got /,
    })
  }
})

type Step =
  | { readonly do: 'enter' }
  | { readonly do: 'settle'; readonly which: number; readonly how: 'ok' | 'failure' | 'mistake' | 'abort' }
  | { readonly do: 'wait'; readonly ms: number }

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.constant({ do: 'enter' } as const) },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('settle' as const),
      which: fc.nat(30),
      how: fc.constantFrom('ok', 'failure', 'failure', 'mistake', 'abort'),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.nat(1_500) }) },
)

/** One step of a random history, checked against what must hold of it. */
function take(taken: Step, breaker: Breaker, running: number[], now: number, limits: Limits): void {
  const before = breaker.state
  if (taken.do === 'enter') {
    const generation = breaker.enter(now)
    if (before.kind === 'closed') assert.notEqual(generation, REFUSED)
    if (before.kind === 'open') assert.equal(generation === REFUSED, now < before.until)
    if (generation === REFUSED) return
    running.push(generation)
    const underWay = running.filter((other) => other === generation).length
    if (breaker.state.kind === 'half-open') assert(underWay <= limits.probes, `${underWay} probes`)
  } else if (taken.do === 'settle') {
    const [generation] = running.splice(taken.which % Math.max(1, running.length), 1)
    if (generation === undefined) return
    if (taken.how === 'ok') breaker.succeeded(generation, now)
    else if (taken.how === 'abort') breaker.ignored(generation)
    else breaker.failed(generation, taken.how === 'failure' ? unavailable : mistake, now)
    checkOutcome(before, breaker.state, taken.how, limits)
  }
}

/** It opens exactly with the failure that reaches the limit, and closes exactly with the last success needed. */
function checkOutcome(before: BreakerState, after: BreakerState, how: string, limits: Limits): void {
  if (before.kind === 'closed' && after.kind === 'open') assert.equal(before.failuresInARow, 2)
  if (after.kind === 'closed') assert(after.failuresInARow < 3)
  if (after.kind === 'half-open') assert(after.underWay >= 0)
  if (before.kind === 'half-open' && after.kind === 'closed') {
    assert.equal(how, 'ok')
    assert.equal(before.succeeded, limits.successesToClose - 1)
  }
  if (before.kind === 'half-open' && after.kind === 'open') assert.equal(how, 'failure')
}

interface Limits {
  readonly probes: number
  readonly successesToClose: number
}

const limit = fc.record({
  probes: fc.integer({ min: 1, max: 3 }),
  successesToClose: fc.integer({ min: 1, max: 3 }),
})

test('in any order of calls, outcomes and time: no more probes than permitted, and never stuck', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), limit, (steps, limits) => {
      const { breaker } = setup(limits)
      const running: number[] = []
      let now = 0
      for (const taken of steps) {
        if (taken.do === 'wait') now += taken.ms
        else take(taken, breaker, running, now, limits)
      }
      // Whatever came before, and if no probe of it ever settles: after the reset time calls are let in again.
      now += 1_000
      for (let i = 0; i < limits.successesToClose; i += 1) {
        const generation = breaker.enter(now)
        assert.notEqual(generation, REFUSED)
        breaker.succeeded(generation, now)
      }
      assert.equal(kind(breaker), 'closed')
    }),
    { numRuns: 10_000 },
  )
})

test('with calls settling in any interleaving, a flood in half-open lets only the permitted probes through', async () => {
  await fc.assert(
    fc.asyncProperty(fc.scheduler(), fc.integer({ min: 1, max: 3 }), async (scheduler, probes) => {
      const { breaker, clock } = setup({ probes, successesToClose: probes })
      fail(breaker, 3)
      await clock.advance(1_000)
      let underWay = 0
      let most = 0
      const outcomes = Array.from({ length: 12 }, (_, i) =>
        scheduler.schedule(Promise.resolve(i), `call ${i}`).then(() =>
          breaker
            .execute(async () => {
              if (breaker.state.kind !== 'half-open') return
              most = Math.max(most, (underWay += 1))
              await scheduler.schedule(Promise.resolve(), `answer ${i}`)
              underWay -= 1
            })
            .catch((error: unknown) => assert.equal((error as SluiceError).code, 'SLUICE_BREAKER_OPEN')),
        ),
      )
      await scheduler.waitFor(Promise.all(outcomes))
      assert(most <= probes, `${most} probes at once`)
      assert.equal(kind(breaker), 'closed')
    }),
    { numRuns: 200 },
  )
})

test('of several breakers the one that lets least through speaks for all', async () => {
  const { breaker: shut } = setup()
  const { breaker: open, clock } = setup()
  const { breaker: held } = setup()
  const spoken = () => strictest([shut, open, held].map((breaker) => breaker.state))
  assert.equal(strictest([]), null)
  assert.equal(spoken(), 'closed')
  held.hold('closed')
  assert.equal(spoken(), 'held')
  fail(open, 3)
  assert.equal(spoken(), 'open')
  await clock.advance(1_000)
  open.enter()
  assert.equal(spoken(), 'half-open')
  held.hold('open')
  assert.equal(spoken(), 'held')
})
