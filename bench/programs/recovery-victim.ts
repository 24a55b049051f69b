/**
 * Runs jobs that end only when they are told to. Says `ready` when it is connected, `full` when all of them run, and
 * after a message, at which it stops, `told` when the first of them is told to end. argv: dsn, count of jobs.
 */
import { once } from 'node:events'
import { z } from 'zod'
import { postgres } from '../../src/components/postgres/index.ts'
import { job, jobs } from '../../src/jobs/index.ts'
import { connectComponent } from '../../src/testing/connect-component.ts'

const [dsn = '', count = '1'] = process.argv.slice(2)
const db = await connectComponent(postgres({ dsn }), { name: 'db' })
const queue = await connectComponent(jobs({ shutdownTimeout: '200ms' }), { required: { postgres: db.api } })
const held = job('held', z.object({ id: z.number() }), { concurrency: Number(count), timeout: '5m' })
let running = 0
let told = false

queue.api.handle(held, async ({ signal }) => {
  running += 1
  if (running === Number(count)) process.send?.('full')
  await once(signal, 'abort')
  if (!told) process.send?.('told')
  told = true
  throw signal.reason
})
process.once('message', () => void queue.close().then(() => process.exit()))
process.once('disconnect', () => process.exit())
process.send?.('ready')
