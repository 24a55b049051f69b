/** A process of the service that events travel to: its bridge writes them into a log of its own, from where they are read. */
import { Recorder } from '../record.ts'
import { chaosApp } from './client.ts'
import { subscribeAll } from './reading.ts'
import { runTravelling, travelling } from './travelling.ts'

const recorder = new Recorder(process.env['CHAOS_FILE'] ?? '')
const working = Promise.withResolvers<void>()
const app = chaosApp('chaos-reader', travelling())

app.service('read', ({ db, events: log }) => {
  const subscriptions = subscribeAll(log, recorder)
  return {
    start() {
      working.resolve()
      const bridged = Promise.all(subscriptions.map((subscription) => subscription.ready()))
      // From now on what is published elsewhere arrives. One that is ended before says nothing.
      bridged
        .then(() => db.execute('insert into chaos_bridged (pid) values ($1)', [process.pid]))
        .catch(() => {})
    },
  }
})

await runTravelling(app, recorder, working.promise)
