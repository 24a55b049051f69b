/** What the parts of the benchmark `replicator` share: a Redis server of its own, the source, and receivers beside it. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { createClient } from 'redis'
import { ownServer, type OwnServer } from '../../test/components/redis/own-server.ts'
import type { BenchContext, Row } from '../harness/benchmark.ts'
import { replicaKeys } from '../../src/replicator/index.ts'
import { parseOrderKey } from '../../src/replicator/sinks/redis/order-key.ts'
import { streamIdText } from '../../src/replicator/stream-id.ts'
import type { Answer, Question, SourceAnswer, SourceQuestion } from '../programs/replicator-talk.ts'

export interface Receiver extends AsyncDisposable {
  ask(question: Question): Promise<Answer>
}

/** Processor time in microseconds since its start, by process. */
export interface ProcessorTime {
  readonly redis: number
  readonly source: number
}

export interface Stage extends AsyncDisposable {
  readonly server: OwnServer
  readonly context: BenchContext
  readonly rows: Row[]
  /** A receiver in a process of its own: 'ours' or one of the peers by hand. */
  receiver(kind: string, options?: object): Promise<Receiver>
  readonly row: (subject: string, value: number, unit: string) => void
  processorTime(): Promise<ProcessorTime>
  /** Of how many keys Redis has another version than that of the last message that the source sent. */
  behind(keyName: string): Promise<number>
}

/** For throughput: few shards, so that batches are large. */
export const FAST = { workers: 2, batchSize: 500, maxBatchSize: 500, maxInFlight: 4 }
const PROGRAMS = join(import.meta.dirname, '../programs')
const LIMIT_MS = 300_000

export async function openStage(context: BenchContext): Promise<Stage> {
  await using opened = new AsyncDisposableStack()
  const server = opened.use(await ownServer())
  const client = createClient({ url: `redis://${server.addr}` })
  client.on('error', () => {})
  opened.defer(() => client.destroy())
  await client.connect()
  const source = opened.use(program('replicator-source.ts', []))
  const { port } = (await source.next()) as { readonly port: number }
  const rows: Row[] = []
  const stack = opened.move()
  return {
    server,
    context,
    rows,
    async receiver(kind, options = {}) {
      const child = program('replicator-receiver.ts', [kind, port, server.port, JSON.stringify(options)])
      await child.next()
      return {
        ask: (question) => child.ask(question) as Promise<Answer>,
        [Symbol.asyncDispose]: () => child[Symbol.asyncDispose](),
      }
    },
    row: (subject, value, unit) => void rows.push({ subject, value: Number(value.toPrecision(4)), unit }),
    async processorTime() {
      const { cpuUs } = (await source.ask({ ask: 'facts' })) as SourceAnswer
      const said = await client.info('cpu')
      const seconds = (name: string): number => Number(new RegExp(`^${name}:([\\d.]+)`, 'm').exec(said)?.[1])
      return { redis: 1e6 * (seconds('used_cpu_user') + seconds('used_cpu_sys')), source: cpuUs }
    },
    async behind(keyName) {
      const { last } = (await source.ask({ ask: 'last' })) as SourceAnswer
      const stored = new Map<string, string>()
      for (const lane of ['company', 'user']) {
        const meta = await client.hGetAll(`${replicaKeys({ name: keyName }).base(lane)}meta`)
        for (const [id, text] of Object.entries(meta)) stored.set(id, text)
      }
      let behind = 0
      for (const [id, at] of Object.entries(last ?? {})) {
        const version = parseOrderKey(stored.get(id) ?? '')
        if (version === undefined || streamIdText(version) !== at) behind += 1
      }
      return behind
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  }
}

interface Program extends AsyncDisposable {
  /** The next thing that it says. */
  next(): Promise<unknown>
  ask(question: Question | SourceQuestion): Promise<unknown>
}

function program(file: string, args: readonly (string | number)[]): Program {
  const child = fork(join(PROGRAMS, file), args.map(String), {
    // Such as --cpu-prof, for one kind of process.
    execArgv: [
      '--conditions=sluice-source',
      ...(process.env['REPLICATOR_NODE_ARGS'] ?? '').split(' ').filter(Boolean),
    ],
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  const exited = once(child, 'exit')
  const ended = exited.then(() => {
    throw new Error(`${file} ${args.join(' ')} ended`)
  })
  ended.catch(() => {})
  const next = async (): Promise<unknown> => {
    const late = new AbortController()
    const limit = pause(LIMIT_MS, late.signal).then(() => {
      throw new Error(`${file} ${args.join(' ')} does not answer`)
    })
    try {
      return (await Promise.race([once(child, 'message', { signal: late.signal }), ended, limit]))[0]
    } finally {
      late.abort()
      limit.catch(() => {})
    }
  }
  return {
    next,
    async ask(question) {
      const answer = next()
      child.send(question)
      return answer
    },
    async [Symbol.asyncDispose]() {
      // A process that is profiled writes its profile when it ends by itself.
      child.disconnect()
      const timer = setTimeout(() => child.kill('SIGKILL'), 3_000)
      await exited
      clearTimeout(timer)
    },
  }
}

export const pause = (ms: number, signal?: AbortSignal): Promise<void> =>
  delay(ms, undefined, signal === undefined ? {} : { signal })
