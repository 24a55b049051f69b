import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Steps, type StepFailure } from '../../src/app/shutdown.ts'
import { ManualClock } from '../../src/testing/manual-clock.ts'

function setUp(budgetMs = 10_000) {
  const clock = new ManualClock()
  const begun: string[] = []
  const failed: string[] = []
  const steps = new Steps({
    clock,
    budgetMs,
    onStep: (step) => begun.push(step),
    onFailure: ({ step }: StepFailure) => failed.push(step),
  })
  return { clock, steps, begun, failed }
}
const forever = (): Promise<void> => new Promise(() => {})

test('a step that hangs ends at its own limit, and a step that throws ends at once; the rest runs', async () => {
  const { clock, steps, begun, failed } = setUp()
  const running = (async () => {
    await steps.work('hangs', 1_000, forever)
    await steps.close('throws', 1_000, () => Promise.reject(new Error('no')))
    await steps.close('throws at once', 1_000, () => {
      throw new Error('no')
    })
    await steps.close('works', 1_000, () => Promise.resolve())
  })()
  await clock.advance(999)
  assert.deepEqual(begun, ['hangs'])
  await clock.advance(1)
  await running
  assert.deepEqual(begun, ['hangs', 'throws', 'throws at once', 'works'])
  assert.deepEqual(failed, ['hangs', 'throws', 'throws at once'])
  assert.equal(steps.code, 70)
  assert.equal(clock.pending, 0)
})

test('the code is 0 when all went well, and 1 when something only threw', async () => {
  const { steps } = setUp()
  await steps.work('works', 1_000, () => {})
  assert.equal(steps.code, 0)
  await steps.work('throws', 1_000, () => Promise.reject(new Error('no')))
  assert.equal(steps.code, 1)
})

test('work that hangs leaves a fifth of the budget to the components', async () => {
  const { clock, steps } = setUp(10_000)
  const first = steps.work('hangs', 60_000, forever)
  await clock.advance(8_000)
  await first
  const second = steps.work('has no time left', 60_000, forever)
  await clock.advance(0)
  await second
  let closedAt = 0
  const third = steps.close('component', 60_000, forever).then(() => (closedAt = clock.monotonic()))
  await clock.advance(2_000)
  await third
  assert.equal(closedAt, 10_000)
})

test('in a hurry the wait ends, the step under way ends, and the rest gets what is left', async () => {
  const { clock, steps, failed } = setUp(60_000)
  const running = (async () => {
    await steps.wait('drain delay', 30_000)
    await steps.work('hangs', 30_000, forever)
    await steps.close('closes', 30_000, forever)
  })()
  await clock.advance(1_000)
  steps.hurry(2_000)
  await clock.advance(2_000)
  await running
  assert.equal(clock.monotonic(), 3_000)
  assert.deepEqual(failed, ['hangs', 'closes'])
})
