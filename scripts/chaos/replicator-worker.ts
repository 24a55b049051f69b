/** A process with a replicator, which ends itself at the moment that CHAOS_MOMENT names, the CHAOS_AFTERth time. */
import { createApp } from '../../src/index.ts'
import { redis, type Redis } from '../../src/components/redis/index.ts'
import {
  httpLoader,
  redisSink,
  replicator,
  webSocketSource,
  type Replicator,
  type ReplicatorStats,
  type SinkFactory,
  type SourceFactory,
} from '../../src/replicator/index.ts'
import { silentLogger } from '../../src/telemetry/log.ts'

const { CHAOS_SOURCE, CHAOS_BULK, CHAOS_REDIS, CHAOS_MOMENT, CHAOS_AFTER = '1', CHAOS_RUN } = process.env
if (CHAOS_SOURCE === undefined || CHAOS_BULK === undefined || CHAOS_REDIS === undefined)
  throw new Error('this program is started by `npm run chaos -- replicator`')

/** What the run is told. */
export type Said =
  | { readonly say: 'started' }
  | { readonly say: 'stats'; readonly stats: ReplicatorStats }
  /** The last word of one that stops in order. */
  | { readonly say: 'final'; readonly stats: ReplicatorStats }
  | { readonly say: 'dying'; readonly moment: string }

let left = Number(CHAOS_AFTER)
const say = (said: Said): void => void process.send?.(said)
let services: { readonly cache: Redis; readonly replica: Replicator } | undefined

function moment(name: string): void {
  if (name !== CHAOS_MOMENT || --left > 0) return
  process.kill(process.pid, 'SIGKILL')
}

/** With a moment before, within and after each call that writes. */
function watched(factory: SinkFactory): SinkFactory {
  return (context) => {
    const sink = factory(context)
    const around = async <T>(name: string, call: () => Promise<T>): Promise<T> => {
      moment(`${name}.before`)
      const result = call()
      // On its way, and not answered.
      if (CHAOS_MOMENT === `${name}.during`) setImmediate(() => moment(`${name}.during`))
      const value = await result
      moment(`${name}.after`)
      return value
    }
    return {
      kind: sink.kind,
      readsData: sink.readsData,
      open: (options) => around('open', () => sink.open(options)),
      apply: (batch, signal) => around('apply', () => sink.apply(batch, signal)),
      beginLoad: (load, signal) => around('beginLoad', () => sink.beginLoad(load, signal)),
      finishLoad: (load, before, options) =>
        around('finishLoad', () => sink.finishLoad(load, before, options)),
      check: (signal) => sink.check(signal),
      deadLetters: (limit, signal) => sink.deadLetters(limit, signal),
      inspect: () => sink.inspect(),
      close: async (signal) => {
        await around('close', () => sink.close(signal))
        if (isStopping && services !== undefined) say({ say: 'final', stats: services.replica.stats() })
      },
    }
  }
}

function heard(factory: SourceFactory): SourceFactory {
  return (context) => {
    const source = factory(context)
    const open = source.open.bind(source)
    source.open = (options) => {
      const { receiver } = options
      const message = receiver.message.bind(receiver)
      open({
        ...options,
        receiver: {
          ...receiver,
          message: (...args) => {
            message(...args)
            moment('received')
          },
        },
      })
    }
    return source
  }
}

let isStopping = false
const app = createApp({
  name: 'chaos',
  components: {
    cache: redis({
      addr: CHAOS_REDIS,
      dialTimeout: 500,
      readTimeout: 500,
      writeTimeout: 500,
      poolTimeout: 100,
      pingInterval: 200,
    }),
    replica: replicator({
      source: heard(webSocketSource({ url: CHAOS_SOURCE, pingInterval: 200, maxBackoff: 100 })),
      loader: httpLoader({ url: CHAOS_BULK, pageSize: 20 }),
      sink: watched(
        redisSink({
          redis: () => services!.cache,
          name: 'chaos',
          lease: 500,
          timeout: 300,
          run: (CHAOS_RUN ?? 'auto') as 'auto',
        }),
      ),
      dependsOn: ['cache'],
      lookupField: 'keys',
      workers: 3,
      batchSize: 5,
      batchTimeout: 5,
      companyChannelSize: 50,
      userChannelSize: 50,
      flagsChannelSize: 20,
      circuitBreakerThreshold: 3,
      circuitBreakerTimeout: 100,
      writeTimeout: 600,
    }),
  },
  env: { APP_PORT: '0', APP_HOST: '127.0.0.1' },
  configFile: false,
  ...(process.env['CHAOS_LOG'] === undefined ? { logger: silentLogger } : {}),
})
app.service('chaos', ({ cache, replica }) => {
  services = { cache, replica }
})

process.once('SIGTERM', () => {
  isStopping = true
  // What it hangs on, should it: the run shows what was said last.
  setInterval(() => {
    const inspected = services?.replica.status()
    process.stderr.write(`stopping: ${JSON.stringify(inspected)}\n`)
  }, 3_000).unref()
  void app.stop().then((code) => process.exit(code))
})
process.on('message', () => {
  if (services !== undefined) say({ say: 'stats', stats: services.replica.stats() })
})
// Its parent is gone: nobody would end it.
process.once('disconnect', () => process.exit(1))
await app.start()
say({ say: 'started' })
