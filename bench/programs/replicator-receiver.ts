/**
 * One receiver of the benchmark `replicator`: its kind, the source's port, Redis's port and options of the replicator as
 * JSON are its arguments. It answers one question at a time.
 */
import { createClient } from 'redis'
import { WebSocket } from 'ws'
import { redis, type Redis } from '../../src/components/redis/index.ts'
import { createApp } from '../../src/index.ts'
import {
  redisSink,
  replicator,
  type Replicator,
  type ReplicatorOptions,
  type SinkFactory,
} from '../../src/replicator/index.ts'
import { silentLogger } from '../../src/telemetry/log.ts'
import { collectGarbage } from '../harness/rounds.ts'
import type { Answer, Burst, Question } from './replicator-talk.ts'

const [kind = '', sourcePort, redisPort, given = '{}'] = process.argv.slice(2)
const source = `127.0.0.1:${sourcePort}`
/** Commands on their way at most, of the plain pipeline. */
const IN_FLIGHT = 4_000

/** How often it is looked whether all is done: counting costs processor time too. */
const LOOK_MS = 5

interface Frame {
  readonly type?: string
  readonly entity_type: string
  readonly entity_id: string
  readonly data: unknown
}
type Handle = (frame: Frame, done: () => void, socket: WebSocket) => void

answer(kind === 'ours' ? await ours() : await byHand(kind))

function answer(questions: (question: Question) => Promise<Answer>): void {
  process.on('message', (question: Question) => {
    void questions(question).then((value) => process.send?.(value))
  })
  process.on('disconnect', () => process.exit())
  process.send?.({ ready: true })
}

/** Receives and parses; what is done with it is the kind. */
async function byHand(how: string): Promise<(question: Question) => Promise<Answer>> {
  const handle = how === 'naive' ? await oneByOne() : how === 'pipelined' ? await pipelined() : null
  const socket = await open(`/${how}`)
  let left = 0
  let finished = (): void => {}
  const done = (): void => {
    if (--left === 0) finished()
  }
  const subscribed = new Promise<void>((resolve) => {
    socket.on('message', (data: Buffer) => {
      const frame = JSON.parse(data.toString('utf8')) as Frame
      if (frame.type !== undefined) resolve()
      else if (handle === null) done()
      else handle(frame, done, socket)
    })
  })
  socket.send(JSON.stringify({ action: 'subscribe', entity_type: 'company' }))
  await subscribed
  return async (question) => {
    if (question.ask !== 'round') return { value: 0 }
    left = question.count
    const all = new Promise<void>((resolve) => (finished = resolve))
    const took = stopwatch()
    send(socket, { path: `/${how}`, count: question.count, rate: 0, hot: 0 })
    await all
    return took(question.count)
  }
}

async function oneByOne(): Promise<Handle> {
  const client = await plain()
  const queue: Frame[] = []
  let isBusy = false
  const work = async (done: () => void): Promise<void> => {
    if (isBusy) return
    isBusy = true
    for (let at = 0; at < queue.length; at++) {
      await client.set(keyOf(queue[at]!), JSON.stringify(queue[at]!.data))
      done()
    }
    queue.length = 0
    isBusy = false
  }
  return (frame, done) => {
    queue.push(frame)
    void work(done)
  }
}

async function pipelined(): Promise<Handle> {
  const client = await plain()
  let inFlight = 0
  return (frame, done, socket) => {
    inFlight += 1
    if (inFlight === IN_FLIGHT) socket.pause()
    const stored = (): void => {
      inFlight -= 1
      if (inFlight === IN_FLIGHT / 2) socket.resume()
      done()
    }
    void client.set(keyOf(frame), JSON.stringify(frame.data)).then(stored)
  }
}

async function ours(): Promise<(question: Question) => Promise<Answer>> {
  const {
    path,
    room,
    keys,
    keyName,
    notesLatency = false,
    ...options
  } = JSON.parse(given) as ReplicatorOptions & {
    readonly path: string
    readonly room: number
    readonly keys?: number
    readonly keyName: string
    /** Not where throughput is measured: it costs each message something. */
    readonly notesLatency?: boolean
  }
  const latencies: number[] = []
  const sink = redisSink({ redis: () => parts!.cache, name: keyName })
  // An app, since that is what connects again after an outage.
  const app = createApp({
    name: 'bench',
    components: {
      cache: redis({ addr: `127.0.0.1:${redisPort}` }),
      replica: replicator({
        ...options,
        keyName,
        lanes: [
          { name: 'company', plural: 'companies', channelSize: room },
          { name: 'user', plural: 'users', channelSize: room },
        ],
        sourceUrl: `ws://${source}${path}`,
        bulkUrl: `http://${source}/rows?keys=${keys ?? 20_000}`,
        dependsOn: ['cache'],
        sink: notesLatency ? timed(sink, latencies) : sink,
      }),
    },
    env: { APP_PORT: '0', APP_HOST: '127.0.0.1' },
    configFile: false,
    logger: silentLogger,
  })
  let parts: { readonly cache: Redis; readonly replica: Replicator } | undefined
  app.service('bench', ({ cache, replica }) => {
    parts = { cache, replica }
  })
  const control = await open('/control')
  const totals = () => {
    const sum = { ended: 0, applied: 0, pending: 0, rows: 0, dropped: 0 }
    for (const lane of Object.values(parts?.replica.stats().lanes ?? {})) {
      sum.ended += lane.processed + lane.skipped + lane.dead
      sum.applied += lane.applied
      sum.pending += lane.pending
      sum.rows += lane.rows
      sum.dropped += lane.dropped
    }
    return sum
  }
  const until = async (is: () => boolean): Promise<void> => {
    while (!is()) await new Promise((resolve) => setTimeout(resolve, LOOK_MS))
  }
  return async (question) => {
    switch (question.ask) {
      case 'connect': {
        const startedAt = performance.now()
        await app.start()
        await until(() => parts?.replica.ready === true)
        return { value: performance.now() - startedAt }
      }
      case 'round': {
        const before = totals()
        latencies.length = 0
        const took = stopwatch()
        send(control, { path, count: question.count, rate: question.rate ?? 0, hot: question.hot ?? 0 })
        await until(() => totals().ended - before.ended >= question.count)
        const taken = took(question.count)
        const saved = 1 - (totals().applied - before.applied) / question.count
        return { ...taken, saved, ...percentiles(latencies) }
      }
      case 'send':
        send(control, { path, count: question.count, rate: question.rate ?? 0, hot: 0 })
        return { value: 0 }
      case 'ended':
        await until(() => totals().ended >= question.count)
        return { value: totals().ended }
      case 'caughtUp': {
        const startedAt = performance.now()
        // What is under way at this rate within a tenth of a second.
        await until(() => totals().pending <= question.count)
        return { value: performance.now() - startedAt }
      }
      case 'stop':
        return { value: await app.stop() }
      case 'facts':
        collectGarbage()
        return { value: process.memoryUsage().rss / 1_048_576, ...totals() }
    }
  }
}

/** Messages a second, and microseconds of this process's own time for each, which others on the machine do not change. */
function stopwatch(): (count: number) => { readonly value: number; readonly cpuUs: number } {
  const startedAt = performance.now()
  const before = process.cpuUsage()
  return (count) => {
    const { user, system } = process.cpuUsage(before)
    return { value: (count / (performance.now() - startedAt)) * 1_000, cpuUs: (user + system) / count }
  }
}

/** Notes from receipt to storing of each change. */
function timed(factory: SinkFactory, latencies: number[]): SinkFactory {
  return (context) => {
    const sink = factory(context)
    const apply = sink.apply.bind(sink)
    sink.apply = async (batch, signal) => {
      const applied = await apply(batch, signal)
      const now = context.clock.monotonic()
      if (latencies.length < 100_000)
        for (const change of batch.changes) latencies.push(now - change.receivedMs)
      return applied
    }
    return sink
  }
}

function percentiles(values: readonly number[]): { readonly p50: number; readonly p99: number } {
  const sorted = values.toSorted((a, b) => a - b)
  const at = (share: number): number => sorted[Math.floor(share * (sorted.length - 1))] ?? 0
  return { p50: at(0.5), p99: at(0.99) }
}

async function open(path: string): Promise<WebSocket> {
  const socket = new WebSocket(`ws://${source}${path}`, { perMessageDeflate: false })
  await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject))
  return socket
}

function send(socket: WebSocket, burst: Burst): void {
  socket.send(JSON.stringify({ action: 'burst', ...burst }))
}

function plain() {
  return createClient({ url: `redis://127.0.0.1:${redisPort}`, commandOptions: { timeout: 0 } }).connect()
}

function keyOf({ entity_type: lane, entity_id: id }: Frame): string {
  return `plain:${lane}:${id}`
}
