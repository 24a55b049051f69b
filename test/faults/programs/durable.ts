/**
 * A service that hands in work of one kind and does it, until it ends itself with SIGKILL at a moment that it was told.
 *
 * argv: dsn, kind (`jobs`, `keyed`, `events`, `parked events` or `cron`), the moment, and the count at which it comes. What it hands in
 * is `orders`, rows of a transaction of its own; what its handlers do is `effects`, rows of theirs. Without a moment, and
 * with that of a release, its first handler says `begun` and waits: for its signal, or with STUBBORN=1 for a message,
 * whatever its signal says, and then it goes on and says `answered`. Says `ready` when all is handed in; ends in order
 * at a SIGTERM.
 */
import { subscribe } from 'node:diagnostics_channel'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { openDurable, ORDERS, type Kind } from '../support/durable.ts'

const [dsn = '', kind = 'jobs', moment = '', count = '1'] = process.argv.slice(2)
const isStubborn = process.env['STUBBORN'] === '1'
const LIMIT_MS = 60_000
let waited = false

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
  pollInterval: '500ms',
  ...(process.env['ATTEMPTS'] === undefined ? {} : { attempts: Number(process.env['ATTEMPTS']) }),
  pooled: process.env['POOLED'] === '1',
  async during(id, signal) {
    if (moment !== 'jobs.released' && moment !== '') return
    if (waited || (id !== ORDERS[0] && kind !== 'cron')) return
    waited = true
    process.send?.('begun')
    if (!isStubborn) {
      await sleep(LIMIT_MS, undefined, { signal })
      return
    }
    await once(process, 'message', { signal: AbortSignal.timeout(LIMIT_MS) })
    // Once what it does now has been answered.
    setTimeout(() => process.send?.('answered'), 500)
  },
})
process.once('SIGTERM', () => void durable[Symbol.asyncDispose]().then(() => process.exit(0)))
await durable.work()
for (const id of ORDERS) await durable.handIn(id)
process.send?.('ready')
