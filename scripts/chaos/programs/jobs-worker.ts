/** A process that runs the jobs of a chaos run until it is ended. */
import { postgres } from '../../../src/components/postgres/index.ts'
import { jobs } from '../../../src/jobs/index.ts'
import { Recorder } from '../record.ts'
import { chaosApp, runApp } from './client.ts'
import { handling } from './handling.ts'
import { InTransaction, Keyed, Plain } from './jobs.ts'
import { setting } from './setting.ts'

const recorder = new Recorder(setting.file)
const { toLedger, toTable } = handling(recorder)
const app = chaosApp('chaos', {
  db: postgres(setting.database),
  jobs: jobs({ shutdownTimeout: '200ms' }),
})

app.service('work', ({ jobs: queue }) => {
  queue.handle(Plain, ({ data, attempt, signal }) => toLedger(Plain.name, data.id, attempt, signal))
  queue.handle(Keyed, ({ data, attempt }) => toLedger(Keyed.name, data.id, attempt))
  queue.handle(InTransaction, ({ data, attempt, tx }) => toTable(InTransaction.name, data.id, attempt, tx), {
    transaction: true,
  })
})

await runApp(app, recorder)
