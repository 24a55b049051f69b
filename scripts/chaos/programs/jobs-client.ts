/** A process that enqueues the jobs of a chaos run until it is ended. */
import { postgres } from '../../../src/components/postgres/index.ts'
import { jobs } from '../../../src/jobs/index.ts'
import { chaosApp, Client, rollback, runApp } from './client.ts'
import { InTransaction, Keyed, Plain } from './jobs.ts'
import { setting } from './setting.ts'

const client = new Client()
const app = chaosApp('chaos-client', { db: postgres(setting.database), jobs: jobs() })

app.service('client', ({ db, jobs: queue }) => ({
  start() {
    for (let i = 0; i < 2; i += 1) {
      void client.repeat('plain', (id) => queue.enqueue(Plain, { id }))
      void client.repeat('tx', (id) =>
        db.transaction(async (tx) => {
          await tx.execute('insert into chaos_orders (id) values ($1)', [id])
          await queue.enqueue(InTransaction, { id }, { tx })
        }),
      )
      void client.repeat('rolled-back', (id) =>
        db.transaction(async (tx) => {
          await queue.enqueue(Plain, { id }, { tx })
          throw rollback
        }),
      )
    }
    client.repeatByKey((id, key) => queue.enqueue(Keyed, { id }, { key }))
  },
}))

await runApp(app, client.recorder, () => client.stop())
