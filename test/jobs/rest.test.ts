/** When a runner with an empty queue looks again. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Rest } from '../../src/jobs/run/rest.ts'
import type { TaskSource } from '../../src/jobs/source.ts'
import { ManualClock } from '../../src/testing/manual-clock.ts'

/** Answers when the test says so. */
function source() {
  const asked: PromiseWithResolvers<number | undefined>[] = []
  const nextDue = (): Promise<number | undefined> => {
    const answer = Promise.withResolvers<number | undefined>()
    asked.push(answer)
    return answer.promise
  }
  return { asked, sources: [{ nextDue } as TaskSource] }
}

test('a look that is asked for during another is taken after it, which may have seen too little', async () => {
  const rest = new Rest(new ManualClock())
  const { asked, sources } = source()
  rest.forMs(3_600_000)
  const first = rest.lookForDue(sources)
  // A task that is due later is told of, the queue is looked at, and nothing may start yet.
  rest.hint()
  rest.forMs(3_600_000)
  const second = rest.lookForDue(sources)
  asked[0]?.resolve(undefined)
  await second
  for (let turn = 0; turn < 50; turn++) await Promise.resolve()
  asked[1]?.resolve(300)
  await first
  assert.equal(rest.msLeft, 300)
  assert.equal(asked.length, 2)
})

test('a look that fails is followed by the one that was asked for meanwhile', async () => {
  const rest = new Rest(new ManualClock())
  const { asked, sources } = source()
  rest.forMs(3_600_000)
  const first = rest.lookForDue(sources)
  await rest.lookForDue(sources)
  asked[0]?.reject(new Error('gone'))
  for (let turn = 0; turn < 50; turn++) await Promise.resolve()
  asked[1]?.resolve(20)
  await first
  assert.equal(rest.msLeft, 20)
})
