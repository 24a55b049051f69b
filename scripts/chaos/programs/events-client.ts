/** A process that publishes the events of a chaos run until it is ended. */
import { postgres } from '../../../src/components/postgres/index.ts'
import { events } from '../../../src/events/index.ts'
import { chaosApp, Client, rollback, runApp } from './client.ts'
import { Happened, Moved } from './events.ts'
import { setting } from './setting.ts'

const client = new Client()
const app = chaosApp('chaos-client', { db: postgres(setting.database), events: events() })

app.service('client', ({ db, events: log }) => ({
  start() {
    for (let i = 0; i < 2; i += 1) {
      void client.repeat('plain', (id) => log.publish(Happened, { id }))
      void client.repeat('tx', (id) =>
        db.transaction(async (tx) => {
          await tx.execute('insert into chaos_orders (id) values ($1)', [id])
          await log.publish(Happened, { id }, { tx })
        }),
      )
      void client.repeat('rolled-back', (id) =>
        db.transaction(async (tx) => {
          await log.publish(Happened, { id }, { tx })
          throw rollback
        }),
      )
    }
    client.repeatByKey((id, key) => log.publish(Moved, { id }, { key }))
  },
}))

await runApp(app, client.recorder, () => client.stop())
