/**
 * A service that hands in work of one kind and does it, until it ends itself with SIGKILL at a moment that it was told.
 *
 * argv: dsn, kind (`jobs`, `keyed`, `events` or `cron`), the moment, and the count at which it comes. What it hands in
 * is `orders`, rows of a transaction of its own; what its handlers do is `effects`, rows of theirs. Says `ready`, and
 * `begun` when a handler that waits for its signal has begun; ends in order at a SIGTERM.
 */
import { subscribe } from 'node:diagnostics_channel'
import { setTimeout as sleep } from 'node:timers/promises'
import { openDurable, ORDERS, type Kind } from '../support/durable.ts'

const [dsn = '', kind = 'jobs', moment = '', count = '1'] = process.argv.slice(2)

// The test is gone: so is this.
process.once('disconnect', () => process.exit(1))
if (moment !== '') {
  let left = Number(count)
  subscribe(`sluice:${moment}`, () => {
    left -= 1
    if (left === 0) process.kill(process.pid, 'SIGKILL')
  })
}
const durable = await openDurable(dsn, kind as Kind, {
  shutdownTimeout: '100ms',
  // The first of all waits until it is told to end, where that is what is looked at.
  async during(id, signal) {
    if (moment !== 'jobs.released' && moment !== '') return
    if (id !== ORDERS[0]) return
    process.send?.('begun')
    await sleep(60_000, undefined, { signal })
  },
})
process.once('SIGTERM', () => void durable[Symbol.asyncDispose]().then(() => process.exit(0)))
await durable.work()
for (const id of ORDERS) await durable.handIn(id)
process.send?.('ready')
