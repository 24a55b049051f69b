/** A process that reads the events of a chaos run until it is ended. */
import { postgres } from '../../../src/components/postgres/index.ts'
import { events } from '../../../src/events/index.ts'
import { Recorder } from '../record.ts'
import { chaosApp, runApp } from './client.ts'
import { subscribeAll } from './reading.ts'
import { setting } from './setting.ts'

const recorder = new Recorder(setting.file)
const app = chaosApp('chaos', { db: postgres(setting.database), events: events() })

app.service('read', ({ events: log }) => void subscribeAll(log, recorder))

await runApp(app, recorder)
