/** What one component of a process has to itself. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Taken } from '../../src/engine/taken.ts'

const told = { component: 'jobs', hint: 'Use the other one.' }

test('who has a place may have it anew before it let go of it, and nobody else until it has', () => {
  const taken = new Taken()
  const [one, other] = [{}, {}]
  const refused = (): void =>
    assert.throws(() => taken.take('queue "a"', other, told), {
      code: 'SLUICE_CONFLICT',
      message: /^queue "a" is at work in another component/,
    })
  taken.take('queue "a"', one, told)
  taken.take('queue "a"', one, told)
  refused()
  taken.leave('queue "a"', one)
  refused()
  // It has nothing to let go of.
  taken.leave('queue "a"', other)
  refused()
  taken.leave('queue "a"', one)
  taken.take('queue "a"', other, told)
  taken.take('queue "b"', one, told)
})
