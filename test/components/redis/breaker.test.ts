/** When the circuit breaker of a redis component opens: at a burst of failures, and not at a few. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ManualClock } from '../../../src/testing/manual-clock.ts'
import { fakeServer, welcome } from './fake-server.ts'
import { connectRedis, hasCode, type Connected } from './support.ts'

const BURST = 50
const REFUSAL = "-OOM command not allowed when used memory > 'maxmemory'.\r\n"

/** A server that answers the commands numbered from 1 as `reply` says; the clock stands still. */
async function connectTo(reply: (count: number) => string) {
  let count = 0
  const server = await fakeServer((command) => welcome(command) ?? reply((count += 1)))
  const connected = await connectRedis({ addr: server.addr, maxRetries: 0 }, { clock: new ManualClock() })
  return { server, connected }
}

const isOpen = ({ cache }: Connected): boolean => cache.status().breaker === 'open'

test('failures in a row open the breaker when they are a burst, in a quiet service too', async () => {
  const { server, connected } = await connectTo(() => REFUSAL)
  await using _server = server
  await using _connected = connected
  for (let call = 1; call <= BURST; call++) {
    assert.equal(isOpen(connected), false, `open after ${call - 1}`)
    await assert.rejects(connected.cache.incr('a'), hasCode('SLUICE_OVERLOADED'))
  }
  assert.equal(isOpen(connected), true)
  await assert.rejects(connected.cache.incr('a'), hasCode('SLUICE_BREAKER_OPEN'))
})

test('half of a burst of calls that fail within the window open the breaker, half of fewer do not', async () => {
  const { server, connected } = await connectTo((count) => (count % 2 === 0 ? REFUSAL : ':1\r\n'))
  await using _server = server
  await using _connected = connected
  for (let call = 1; call <= BURST; call++) {
    assert.equal(isOpen(connected), false, `open after ${call - 1}`)
    const answer = connected.cache.incr('a')
    if (call % 2 === 0) await assert.rejects(answer, hasCode('SLUICE_OVERLOADED'))
    else assert.equal(await answer, 1)
  }
  assert.equal(isOpen(connected), true)
})
