/** A process that hears of jobs or events and answers with when each handler began; `kind` and `dsn` are its arguments. */
import { z } from 'zod'
import { postgres } from '../../src/components/postgres/index.ts'
import { event, events } from '../../src/events/index.ts'
import { job, jobs } from '../../src/jobs/index.ts'
import { connectComponent } from '../../src/testing/connect-component.ts'
import { peer } from '../harness/peers.ts'
import { openBoss } from '../queues/pg-boss.ts'

const [kind, dsn = ''] = process.argv.slice(2)
const heard = (id: number): void =>
  void process.send?.({ id, at: performance.timeOrigin + performance.now() })
const data = z.object({ id: z.number() })

if (kind === 'graphile') {
  const { run } = await peer<{ run: (options: unknown) => Promise<unknown> }>('graphile-worker')
  await run({
    connectionString: dsn,
    noHandleSignals: true,
    concurrency: 50,
    maxPoolSize: 20,
    taskList: { ping: (given: { id: number }) => heard(given.id) },
  })
} else if (kind === 'pgboss') {
  // Half a second is the least that it takes between two looks.
  const boss = await openBoss(dsn)
  await boss.work('ping', { batchSize: 50, pollingIntervalSeconds: 0.5 }, async (given) => {
    for (const { data: sent } of given as readonly { readonly data: { readonly id: number } }[])
      heard(sent.id)
  })
} else {
  const db = await connectComponent(postgres({ dsn }), { name: 'db' })
  const required = { required: { postgres: db.api } }
  if (kind === 'jobs') {
    const queue = await connectComponent(jobs(), required)
    queue.api.handle(job('ping', data), (given) => heard(given.data.id))
  } else {
    const log = await connectComponent(events(), required)
    await log.api.subscribe(event('bench.ping', data), 'reader', (given) => heard(given.data.id)).ready()
  }
}
process.send?.('ready')
