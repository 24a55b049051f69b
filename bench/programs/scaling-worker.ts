/**
 * A process that works off the queue of its parent: says `ready` when it is connected, begins at a message, and answers
 * each message after that with what it did so far. argv: dsn, milliseconds that a job waits.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import { postgres } from '../../src/components/postgres/index.ts'
import { job, jobs } from '../../src/jobs/index.ts'
import { connectComponent } from '../../src/testing/connect-component.ts'

const [dsn = '', waits = '0'] = process.argv.slice(2)
const ms = Number(waits)
const db = await connectComponent(postgres({ dsn }), { name: 'db' })
const queue = await connectComponent(jobs(), { required: { postgres: db.api } })
const work = job('work', z.object({ id: z.number(), to: z.string() }), { concurrency: ms === 0 ? 200 : 20 })
let done = 0

process.once('message', () => {
  const end = (): void => {
    done += 1
    if (done % 500 === 0) process.send?.({ done })
  }
  queue.api.handle(work, ms === 0 ? end : () => sleep(ms).then(end))
  // The rest of it, which is no multiple.
  setInterval(() => process.send?.({ done }), 50)
})
process.once('disconnect', () => process.exit())
process.send?.('ready')
