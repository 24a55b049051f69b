/** A process that publishes the events of a chaos run until it is ended. */
import { postgres } from '../../../src/components/postgres/index.ts'
import { events } from '../../../src/events/index.ts'
import { chaosApp, Client, runApp } from './client.ts'
import { publishAll } from './publishing.ts'
import { setting } from './setting.ts'

const client = new Client()
const app = chaosApp('chaos-client', { db: postgres(setting.database), events: events() })

app.service('client', ({ db, events: log }) => ({
  start() {
    publishAll(client, db, log)
  },
}))

await runApp(app, client.recorder, () => client.stop())
