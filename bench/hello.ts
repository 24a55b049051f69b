/**
 * A hello world through the app beside bare Fastify: requests a second over 32 keep-alive connections, and processor
 * time a request, which other work on the machine disturbs less.
 *
 * `wrk` makes the load where it is installed; otherwise a client of our own in this process, which on a small machine
 * may be the slower side and then hides differences.
 */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { spawn } from 'node:child_process'
import { ratio, type Benchmark, type Subject } from './harness/benchmark.ts'
import { buildStage, serve, type Served } from './harness/stage.ts'

const CONNECTIONS = 32
/** Short, so that the two take turns often: what else the machine does meets both alike. */
const SLICE_SECONDS = 1
const WARM_UP = 2

export const benchmark: Benchmark = {
  doc: 'hello world through the app beside bare Fastify',
  peers: ['fastify'],
  async run({ rounds, note }) {
    note('compiling sluice')
    using stage = await buildStage()
    const load = spawnSync('wrk', ['--version']).error === undefined ? wrk : ownLoad
    await using ours = await serve(stage.program('hello.js', 'ours'))
    await using bare = await serve(stage.program('bare.js', 'ours'))
    const perRequest = new Map<string, number[]>()
    const subjects = Object.entries({ sluice: ours, fastify: bare }).map(([name, served]): Subject => {
      perRequest.set(name, [])
      return {
        name,
        unit: 'requests/s',
        async measure() {
          const before = cpuMicros(served)
          const requests = await load(served.url, SLICE_SECONDS)
          perRequest.get(name)?.push((cpuMicros(served) - before) / requests)
          return requests / SLICE_SECONDS
        },
      }
    })
    const rows = await rounds(subjects, { rounds: 31, quickRounds: 11, warmUp: WARM_UP })
    const cpuRows = [...perRequest].map(([name, values]) => {
      const sorted = values.slice(WARM_UP).toSorted((a, b) => a - b)
      return {
        subject: `${name}, processor time`,
        value: Number((sorted[sorted.length >> 1] ?? NaN).toPrecision(3)),
        unit: 'us/request',
      }
    })
    return {
      settings: {
        connections: CONNECTIONS,
        slice_seconds: SLICE_SECONDS,
        client: load === wrk ? 'wrk' : 'own',
      },
      rows: [...rows, ...cpuRows],
      ratios: {
        hello_vs_fastify: ratio(rows, 'sluice', 'fastify'),
        hello_cpu_vs_fastify: ratio(cpuRows, 'sluice, processor time', 'fastify, processor time'),
      },
    }
  },
}

/** User and system time of a process so far, from /proc; NaN where there is none. */
function cpuMicros(served: Served): number {
  try {
    const fields = readFileSync(`/proc/${served.child.pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
    const ticks = Number(fields[11]) + Number(fields[12])
    return ticks * 10_000
  } catch {
    return NaN
  }
}

async function wrk(url: string, seconds: number): Promise<number> {
  const child = spawn('wrk', ['-t1', `-c${CONNECTIONS}`, `-d${seconds}s`, `${url}/`])
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (text) => (output += String(text)))
  await new Promise((resolve) => child.once('close', resolve))
  const requests = Number(/(\d+) requests in/.exec(output)?.[1])
  if (!(requests > 0) || /Non-2xx/.test(output)) throw new Error(`wrk failed:\n${output}`)
  return requests
}

/** The least client there is: each connection sends its next request when the answer to the last is complete. */
async function ownLoad(url: string, seconds: number): Promise<number> {
  const { port } = new URL(url)
  const request = 'GET / HTTP/1.1\r\nhost: x\r\n\r\n'
  const until = performance.now() + seconds * 1_000
  let requests = 0
  const connection = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const socket = connect(Number(port), '127.0.0.1', () => socket.write(request))
      socket.on('error', reject)
      socket.on('data', (chunk: Buffer) => {
        if (chunk.at(-1) !== 0x7d) return
        requests++
        if (performance.now() < until) socket.write(request)
        else socket.end(() => resolve())
      })
    })
  await Promise.all(Array.from({ length: CONNECTIONS }, connection))
  return requests
}
