/**
 * The replicator on a real WebSocket and a real Redis: entities of 300 bytes, 20,000 keys.
 *
 * The source, Redis and each receiver are processes of their own. Beside it, in turns: receiving and parsing alone, one
 * awaited SET a message, and plain SETs in a pipeline, which compare nothing, keep no cursor and lose what was in flight.
 * `REPLICATOR_STOP_SECONDS`: for how long Redis is stopped; 60, with --quick 3.
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { ownServer, type OwnServer } from '../test/components/redis/own-server.ts'
import { ratio, type Benchmark, type Row, type Subject } from './harness/benchmark.ts'
import { median } from './harness/rounds.ts'
import type { Answer, Question } from './programs/replicator-talk.ts'

interface Receiver extends AsyncDisposable {
  ask(question: Question): Promise<Answer>
}

const PROGRAMS = join(import.meta.dirname, 'programs')
const LIMIT_MS = 300_000
/** For throughput: few shards, so that batches are large. */
const FAST = { workers: 2, batchSize: 500, maxBatchSize: 500, maxInFlight: 4 }
const PARSE = 'receive and parse alone'
const NAIVE = 'one awaited SET a message'
const PIPELINED = 'plain pipelined SETs'
const UNIFORM = 'sluice, keys alike'
const SKEWED = 'sluice, 1,000 hot keys'

export const benchmark: Benchmark = {
  doc: 'a stream over a WebSocket into Redis: throughput, latency, an outage, a restart, a load',
  peers: [],
  async run({ quick, rounds, note }) {
    await using server = await ownServer()
    await using stack = new AsyncDisposableStack()
    const source = stack.use(program('replicator-source.ts', []))
    const { port } = (await source.next()) as { readonly port: number }
    const receiver = async (kind: string, options: object = {}): Promise<Receiver> =>
      receiverOf(program('replicator-receiver.ts', [kind, port, server.port, JSON.stringify(options)]))
    const rows: Row[] = []
    const row = (subject: string, value: number, unit: string): void => {
      rows.push({ subject, value: Number(value.toPrecision(4)), unit })
    }

    note('throughput')
    let saved = 0
    const cpu = new Map<string, number[]>()
    {
      await using own = new AsyncDisposableStack()
      const count = quick ? 40_000 : 400_000
      const subjects: Subject[] = []
      for (const [name, kind, messages, hot] of [
        [PARSE, 'parse', count, 0],
        [NAIVE, 'naive', Math.round(count / 20), 0],
        [PIPELINED, 'pipelined', count, 0],
        [UNIFORM, 'ours', count, 0],
        [SKEWED, 'ours', count, 1_000],
      ] as const) {
        // With less room than a lane has keys, a stream that visits each key in turn is not conflated.
        const room = hot > 0 ? 20_000 : 4_000
        const path = hot > 0 ? '/skewed' : '/uniform'
        const one = own.use(await receiver(kind, { ...FAST, path, room, keyName: path.slice(1) }))
        if (kind === 'ours') await one.ask({ ask: 'connect' })
        subjects.push({
          name,
          unit: 'messages/s',
          async measure() {
            const answer = await one.ask({ ask: 'round', count: messages, hot })
            if (hot > 0) saved = answer.saved ?? 0
            cpu.set(name, [...(cpu.get(name) ?? []), answer.cpuUs ?? 0])
            return answer.value
          },
        })
      }
      rows.push(...(await rounds(subjects, { rounds: 7, quickRounds: 3 })))
      for (const [name, all] of cpu) row(`${name}, processor time`, median(all), 'µs/message')
      row(`${SKEWED}, writes saved by conflation`, 100 * saved, '%')
    }

    for (const batchTimeout of [25, 10]) {
      note(`latency, ${batchTimeout} ms`)
      const options = {
        batchTimeout,
        path: `/late${batchTimeout}`,
        room: 4_000,
        keyName: `late${batchTimeout}`,
      }
      await using one = await receiver('ours', options)
      await one.ask({ ask: 'connect' })
      await one.ask({ ask: 'round', count: 1_000, rate: 1_000 })
      const { p50, p99 } = await one.ask({ ask: 'round', count: quick ? 2_000 : 10_000, rate: 1_000 })
      row(`receipt to stored at 1,000/s, BATCH_TIMEOUT ${batchTimeout} ms, p50`, p50 ?? 0, 'ms')
      row(`receipt to stored at 1,000/s, BATCH_TIMEOUT ${batchTimeout} ms, p99`, p99 ?? 0, 'ms')
      // In order, so that the lease is given back; after a kill the successor waits for it to run out.
      await one.ask({ ask: 'stop' })
    }

    note('a restart with a warm cache')
    {
      const options = { ...FAST, path: '/warm', room: 4_000, keyName: 'late10' }
      await using one = await receiver('ours', options)
      row('restart with a warm cache, until ready', (await one.ask({ ask: 'connect' })).value, 'ms')
    }

    const stopSeconds = Number(process.env['REPLICATOR_STOP_SECONDS'] ?? (quick ? 3 : 60))
    const rate = quick ? 10_000 : 50_000
    note(`Redis stopped for ${stopSeconds} s`)
    await stopped(server, receiver, { seconds: stopSeconds, rate }, row)

    const keys = quick ? 100_000 : 1_000_000
    note(`a load of ${keys} entities while live`)
    {
      const options = { path: '/load', room: 20_000, keyName: 'load', keys, pageSize: 5_000 }
      await using one = await receiver('ours', { ...options, ...FAST })
      const before = await one.ask({ ask: 'facts' })
      const loading = one.ask({ ask: 'connect' })
      const { value } = await loading
      const after = await one.ask({ ask: 'facts' })
      const label = keys.toLocaleString('en')
      row(`load of ${label} entities, until ready`, value / 1_000, 's')
      row(`load of ${label} entities`, (keys / value) * 1_000, 'entities/s')
      row(`load of ${label} entities, resident memory added`, after.value - before.value, 'MB')
    }

    return {
      settings: { keys: 20_000, entityBytes: 300, stopSeconds, stoppedRate: rate, loaded: keys },
      rows,
      ratios: {
        applied_vs_parse: ratio(rows, UNIFORM, PARSE),
        applied_vs_naive: ratio(rows, UNIFORM, NAIVE),
        applied_vs_pipelined: ratio(rows, UNIFORM, PIPELINED),
        // Of processor time: what ours costs over what the other costs.
        cpu_vs_parse: ratio(rows, `${UNIFORM}, processor time`, `${PARSE}, processor time`),
        cpu_vs_naive: ratio(rows, `${UNIFORM}, processor time`, `${NAIVE}, processor time`),
        skewed_vs_uniform: ratio(rows, SKEWED, UNIFORM),
      },
    }
  },
}

async function stopped(
  server: OwnServer,
  receiver: (kind: string, options: object) => Promise<Receiver>,
  { seconds, rate }: { readonly seconds: number; readonly rate: number },
  row: (subject: string, value: number, unit: string) => void,
): Promise<void> {
  const options = { ...FAST, path: '/stopped', room: 20_000, keyName: 'stopped', circuitBreakerTimeout: '1s' }
  await using one = await receiver('ours', options)
  await one.ask({ ask: 'connect' })
  const count = (seconds + 6) * rate
  await one.ask({ ask: 'send', count, rate })
  await pause(3_000)
  const { value: before } = await one.ask({ ask: 'facts' })
  let highest = before
  server.freeze()
  try {
    for (const until = performance.now() + seconds * 1_000; performance.now() < until;) {
      await pause(500)
      highest = Math.max(highest, (await one.ask({ ask: 'facts' })).value)
    }
  } finally {
    server.thaw()
  }
  const { value: caughtUp } = await one.ask({ ask: 'caughtUp', count: rate / 10 })
  await one.ask({ ask: 'ended', count })
  const { dropped } = await one.ask({ ask: 'facts' })
  const label = `Redis stopped for ${seconds} s at ${rate.toLocaleString('en')}/s`
  row(`${label}, resident memory added`, highest - before, 'MB')
  row(`${label}, until caught up`, caughtUp / 1_000, 's')
  row(`${label}, dropped`, dropped ?? -1, 'messages')
}

interface Program extends AsyncDisposable {
  next(): Promise<unknown>
  send(question: Question): void
}

function program(file: string, args: readonly (string | number)[]): Program {
  const child = fork(join(PROGRAMS, file), args.map(String), {
    execArgv: ['--conditions=sluice-source'],
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  const exited = once(child, 'exit')
  const ended = exited.then(() => {
    throw new Error(`${file} ${args.join(' ')} ended`)
  })
  ended.catch(() => {})
  return {
    async next() {
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
    },
    send: (question) => void child.send(question),
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL')
      await exited
    },
  }
}

async function receiverOf(child: Program): Promise<Receiver> {
  await child.next()
  return {
    async ask(question) {
      const answer = child.next()
      child.send(question)
      return (await answer) as Answer
    },
    [Symbol.asyncDispose]: () => child[Symbol.asyncDispose](),
  }
}

const pause = (ms: number, signal?: AbortSignal): Promise<void> =>
  delay(ms, undefined, signal === undefined ? {} : { signal })
