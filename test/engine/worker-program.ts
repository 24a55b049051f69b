/**
 * A process with an engine that claims the tasks of a queue and keeps them. It says what it holds, then does as it is
 * told: `ack` tries to end them, `block` blocks its event loop, `close` closes the engine; each is answered.
 */
import { ackTasks } from '../../src/engine/tasks/finish.ts'
import { claimTasks } from '../../src/engine/tasks/claim.ts'
import { openEngine } from './leases-support.ts'

const [dsn = '', queue = 'work', limit = '10'] = process.argv.slice(2)
const own = await openEngine(dsn)
const { engine, db } = own
const lease = engine.worker.lease!
const held = await claimTasks(db, await engine.queues.id(queue), lease.id, Number(limit))
lease.signal.addEventListener('abort', () => {
  const { code } = lease.signal.reason as { readonly code: string }
  process.send?.({ kind: 'lost', code })
})
engine.worker.onLease(({ id }) => {
  if (id !== lease.id) process.send?.({ kind: 'again', id })
})
process.on('message', (message: { readonly kind: string; readonly ms?: number }) => {
  if (message.kind === 'ack') {
    void ackTasks(db, held, lease.id).then((ids) => process.send?.({ kind: 'acked', count: ids.size }))
  } else if (message.kind === 'block') {
    const until = performance.now() + (message.ms ?? 0)
    while (performance.now() < until);
    process.send?.({ kind: 'blocked', id: engine.worker.lease?.id })
  } else if (message.kind === 'close') {
    void own[Symbol.asyncDispose]().then(() => process.disconnect())
  }
})
process.send?.({ kind: 'holds', id: lease.id, count: held.length })
