/** A process that enqueues the jobs of a chaos run, and writes down what it was told, until it is ended. */
import { createApp } from '../../../src/app/app.ts'
import { postgres } from '../../../src/components/postgres/index.ts'
import { jobs } from '../../../src/jobs/index.ts'
import { silentLogger } from '../../../src/telemetry/log.ts'
import { Recorder, type How } from '../record.ts'
import { dieAtMoment } from './die.ts'
import { InTransaction, Keyed, Plain } from './jobs.ts'
import { setting } from './setting.ts'

const recorder = new Recorder(setting.file)
const CALLERS = 6
/** Process ids come again. */
const SINCE = Date.now().toString(36)

const app = createApp({
  name: 'chaos-client',
  components: { db: postgres({ dsn: setting.dsn }), jobs: jobs() },
  env: { APP_PORT: '0', APP_HOST: '127.0.0.1' },
  configFile: false,
  logger: silentLogger,
})

const rollback = new Error('rolled back on purpose')
let stopping = false
let count = 0

app.service('client', ({ db, jobs: queue }) => {
  const ways: readonly ((id: string) => Promise<void>)[] = [
    async (id) => {
      await record(id, { kind: 'plain' }, async () => void (await queue.enqueue(Plain, { id })))
    },
    async (id) => {
      await record(id, { kind: 'tx' }, () =>
        db.transaction(async (tx) => {
          await tx.execute('insert into chaos_orders (id) values ($1)', [id])
          await queue.enqueue(InTransaction, { id }, { tx })
        }),
      )
    },
    async (id) => {
      await record(id, { kind: 'rolled-back' }, () =>
        db
          .transaction(async (tx) => {
            await queue.enqueue(Plain, { id }, { tx })
            throw rollback
          })
          .catch((error: unknown) => {
            if (error !== rollback) throw error
          }),
      )
    },
  ]

  const caller = async (way: (id: string) => Promise<void>): Promise<void> => {
    while (!stopping) await way(`${process.pid}${SINCE}-${(count += 1)}`)
  }
  const keyed = async (key: string): Promise<void> => {
    for (let seq = 0; !stopping; seq += 1) {
      await record(`${key}${seq}`, { kind: 'keyed', key, seq }, async () => {
        await queue.enqueue(Keyed, { id: `${key}${seq}` }, { key })
      })
    }
  }
  return {
    start() {
      for (let i = 0; i < CALLERS; i += 1) void caller(ways[i % ways.length]!)
      for (let i = 0; i < 3; i += 1) void keyed(`${process.pid}${SINCE}k${i}-`)
    },
  }
})

/** Without an answer nobody knows: it is not told `ok`, and not tried again. */
async function record(id: string, how: How, work: () => Promise<void>): Promise<void> {
  recorder.write({ f: 'invoke', id, how })
  try {
    await work()
    recorder.write({ f: 'ok', id })
  } catch {
    // Unknown.
  }
  await pause()
}

/** About 25 a second and caller: the workers of a small machine keep up with that. */
function pause(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 40))
}

process.once('SIGTERM', () => {
  stopping = true
  void app.stop().then((code) => process.exit(code))
})
await app.start()
await app.init.ready()
dieAtMoment(recorder)
process.send?.('ready')
