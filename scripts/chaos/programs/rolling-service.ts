/**
 * One of the processes of a rolling restart: takes orders over HTTP, each stored and enqueued in one transaction, works
 * through them in the order of their customer, and writes down each second by a schedule.
 */
import { z } from 'zod'
import { cron } from '../../../src/cron/index.ts'
import { createApp } from '../../../src/index.ts'
import { job, jobs } from '../../../src/jobs/index.ts'
import { postgres } from '../../../src/components/postgres/index.ts'
import { silentLogger } from '../../../src/telemetry/log.ts'
import { setting } from './setting.ts'

const Order = z.object({ id: z.string(), customer: z.string() })
const Fulfil = job('rolling.fulfil', Order, { attempts: 50, backoff: { base: '20ms', max: '500ms' } })

const app = createApp({
  name: 'rolling',
  components: { db: postgres(setting.database), jobs: jobs(), cron: cron() },
  env: { APP_PORT: process.env['CHAOS_PORT'] ?? '0', APP_HOST: '127.0.0.1' },
  configFile: false,
  logger: silentLogger,
  // A busy machine makes the loop late; turning requests away for that is not what is looked at.
  http: { overload: false },
})

app.service('orders', ({ http, db, jobs: queue, cron: schedules }) => {
  http.post('/orders', async (request, reply) => {
    const order = Order.parse(request.body)
    await db.transaction(async (tx) => {
      await tx.execute('insert into chaos_orders (id) values ($1)', [order.id])
      await queue.enqueue(Fulfil, order, { tx, key: order.customer })
    })
    return reply.code(201).send({ stored: order.id })
  })
  queue.handle(
    Fulfil,
    async ({ data, tx }) => {
      await tx?.execute('insert into chaos_effects (id, by) values ($1, $2)', [data.id, data.customer])
    },
    { transaction: true },
  )
  schedules.schedule(
    'each_second',
    '* * * * * *',
    async ({ tx, slot }) => {
      await tx?.execute('insert into chaos_slots (slot) values ($1)', [slot])
    },
    { transaction: true },
  )
})

// Its parent is gone: nobody would end it.
process.once('disconnect', () => process.exit(1))
process.once('SIGTERM', () => void app.stop().then((code) => process.exit(code)))
await app.start()
await app.init.ready()
process.send?.({ port: app.address.port })
