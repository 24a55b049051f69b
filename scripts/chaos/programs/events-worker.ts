/** A process that reads the events of a chaos run until it is ended. */
import { postgres } from '../../../src/components/postgres/index.ts'
import { events } from '../../../src/events/index.ts'
import { Recorder } from '../record.ts'
import { chaosApp, runApp } from './client.ts'
import { Happened, Moved, SUBSCRIPTIONS } from './events.ts'
import { handling } from './handling.ts'
import { setting } from './setting.ts'

const recorder = new Recorder(setting.file)
const { toLedger, toTable } = handling(recorder)
const { ledger, rows, ordered } = SUBSCRIPTIONS
const options = {
  from: 'beginning',
  attempts: 50,
  shards: 8,
  timeout: '20s',
  backoff: { base: '20ms', max: '500ms' },
} as const
const app = chaosApp('chaos', { db: postgres(setting.database), events: events() })

app.service('read', ({ events: log }) => {
  log.subscribe(Happened, ledger, ({ data, attempt }) => toLedger(ledger, data.id, attempt), options)
  log.subscribe(Happened, rows, ({ data, attempt, tx }) => toTable(rows, data.id, attempt, tx), {
    ...options,
    transaction: true,
  })
  log.subscribe(Moved, ordered, ({ data, attempt }) => toLedger(ordered, data.id, attempt), {
    ...options,
    ordered: 'key',
  })
})

await runApp(app, recorder)
