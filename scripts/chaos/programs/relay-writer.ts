/** A process of the service whose events travel: its relay, and with CHAOS_PUBLISHES those who publish. */
import { chaosApp, Client } from './client.ts'
import { publishAll } from './publishing.ts'
import { runTravelling, travelling } from './travelling.ts'

const client = new Client()
const working = Promise.withResolvers<void>()
const app = chaosApp('chaos-writer', travelling())

app.service('writer', ({ db, events: log }) => ({
  start() {
    if (process.env['CHAOS_PUBLISHES'] === '1') publishAll(client, db, log)
    working.resolve()
  },
}))

await runTravelling(app, client.recorder, working.promise, () => client.stop())
