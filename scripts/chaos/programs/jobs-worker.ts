/** A process that runs the jobs of a chaos run until it is ended. */
import { setTimeout as sleep } from 'node:timers/promises'
import { createApp } from '../../../src/app/app.ts'
import { postgres } from '../../../src/components/postgres/index.ts'
import { jobs, type JobContext } from '../../../src/jobs/index.ts'
import { silentLogger } from '../../../src/telemetry/log.ts'
import { Recorder } from '../record.ts'
import { dieAtMoment } from './die.ts'
import { InTransaction, Keyed, Plain } from './jobs.ts'
import { chance, setting } from './setting.ts'

const recorder = new Recorder(setting.file)

const app = createApp({
  name: 'chaos',
  components: { db: postgres({ dsn: setting.dsn }), jobs: jobs() },
  env: { APP_PORT: '0', APP_HOST: '127.0.0.1' },
  configFile: false,
  logger: silentLogger,
})

app.service('work', ({ jobs: queue }) => {
  queue.handle(Plain, async (context) => {
    await begin(context)
    recorder.write({ f: 'effect', id: context.data.id, by: Plain.name })
    end(context)
  })
  queue.handle(Keyed, async (context) => {
    await begin(context)
    recorder.write({ f: 'effect', id: context.data.id, by: Keyed.name })
    end(context)
  })
  queue.handle(
    InTransaction,
    async (context) => {
      await begin(context)
      await context.tx.execute('insert into chaos_effects (id, by) values ($1, $2)', [
        context.data.id,
        InTransaction.name,
      ])
      end(context)
    },
    { transaction: true },
  )
})

/** Some fail at first, some take their time. */
async function begin({ data: { id }, name, attempt }: JobContext<{ readonly id: string }>): Promise<void> {
  recorder.write({ f: 'start', id, by: name, attempt })
  const kind = chance(id)
  if (kind < 10 && attempt === 1) {
    recorder.write({ f: 'end', id, by: name })
    throw new Error('fails at first')
  }
  if (kind >= 70) await sleep(kind)
}

function end({ data: { id }, name }: JobContext<{ readonly id: string }>): void {
  recorder.write({ f: 'end', id, by: name })
}

process.once('SIGTERM', () => void app.stop().then((code) => process.exit(code)))
await app.start()
await app.init.ready()
dieAtMoment(recorder)
process.send?.('ready')
