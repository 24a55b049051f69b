/** Another service that hears of everything in the community, over the broker alone: a row for each event. */
import { chaosApp } from './client.ts'
import { Recorder } from '../record.ts'
import { runTravelling, travelling } from './travelling.ts'

const recorder = new Recorder(process.env['CHAOS_FILE'] ?? '')
const working = Promise.withResolvers<void>()
const app = chaosApp('chaos-listener', travelling())

app.service('listen', ({ db, events: log }) => {
  const subscription = log.subscribe(
    '#',
    'listener',
    async ({ events, tx }) => {
      const heard = events.flatMap(({ origin }) => (origin === undefined ? [] : [origin]))
      await tx.execute(
        'insert into chaos_heard (id, happened) select * from unnest($1::text[], $2::timestamptz[])',
        [heard.map(({ id }) => id), heard.map(({ time }) => time)],
      )
    },
    { batch: 200, shards: 4, transaction: true, from: 'beginning' },
  )
  return {
    start() {
      working.resolve()
      subscription
        .ready()
        .then(() => db.execute('insert into chaos_bridged (pid) values ($1)', [process.pid]))
        .catch(() => {})
    },
  }
})

await runTravelling(app, recorder, working.promise)
