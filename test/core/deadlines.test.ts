import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Deadlines, type DeadlineEntry, type DeadlineList } from '../../src/core/deadlines.ts'
import { ManualClock } from '../../src/testing/manual-clock.ts'

class Entry implements DeadlineEntry {
  deadlineAt = Infinity
  deadlineList: DeadlineList | undefined = undefined
  deadlinePrevious: DeadlineEntry | undefined = undefined
  deadlineNext: DeadlineEntry | undefined = undefined
  passedAt: number | undefined
  readonly #clock: ManualClock

  constructor(clock: ManualClock) {
    this.#clock = clock
  }
  deadlinePassed(): void {
    assert.equal(this.passedAt, undefined, 'called twice')
    this.passedAt = this.#clock.monotonic()
  }
}

test('an entry falls due exactly at its deadline, whatever its duration', async () => {
  const clock = new ManualClock()
  const deadlines = new Deadlines(clock)
  const durations = [5_000, 3, 50, 51, 0, 1_234.5, 5_000]
  const entries = durations.map((ms) => {
    const entry = new Entry(clock)
    deadlines.add(entry, ms, clock.monotonic())
    return entry
  })
  await clock.advance(10_000)
  assert.deepEqual(
    entries.map(({ passedAt }) => passedAt),
    durations,
  )
  assert.equal(clock.pending, 0)
})

test('an entry that was removed never falls due, and the timer rests a tick after the last one left', async () => {
  const clock = new ManualClock()
  const deadlines = new Deadlines(clock)
  const entry = new Entry(clock)
  deadlines.add(entry, 5_000, 0)
  assert.equal(clock.pending, 1)
  deadlines.remove(entry)
  deadlines.remove(entry)
  await clock.advance(50)
  assert.equal(clock.pending, 0)
  await clock.advance(10_000)
  assert.equal(entry.passedAt, undefined)
})

test('in any history of adding, removing and waiting, each entry left falls due on time and once', async () => {
  const step = fc.record({
    wait: fc.nat(120),
    ms: fc.constantFrom(0, 7, 50, 100, 333, 2_000),
    remove: fc.option(fc.nat(20), { nil: undefined, freq: 2 }),
  })
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 15 }), async (steps) => {
      const clock = new ManualClock()
      const deadlines = new Deadlines(clock)
      const entries: { readonly entry: Entry; readonly due: number; removedAt: number }[] = []
      for (const { wait, ms, remove } of steps) {
        await clock.advance(wait)
        const now = clock.monotonic()
        const entry = new Entry(clock)
        deadlines.add(entry, ms, now)
        entries.push({ entry, due: now + ms, removedAt: Infinity })
        const victim = remove === undefined ? undefined : entries[remove % entries.length]
        if (victim === undefined || victim.entry.passedAt !== undefined) continue
        deadlines.remove(victim.entry)
        victim.removedAt = now
      }
      await clock.advance(3_000)
      for (const { entry, due, removedAt } of entries) {
        assert.equal(entry.passedAt, removedAt === Infinity ? due : undefined)
      }
      assert.equal(clock.pending, 0)
    }),
    { numRuns: 30 },
  )
})
