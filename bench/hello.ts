/**
 * A hello world through the app beside bare Fastify: requests a second over 32 keep-alive connections, and processor
 * time a request, which other work on the machine disturbs less.
 *
 * Several processes of each take turns, because each has its own luck with where its code and data lie: two of the same
 * program differ by 3 % for as long as they live.
 *
 * `wrk` makes the load where it is installed; otherwise a client of our own in this process, which on a small machine
 * may be the slower side and then hides differences.
 */
import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { spawn } from 'node:child_process'
import { ratio, type Benchmark, type Subject } from './harness/benchmark.ts'
import { buildStage, serve, type Served } from './harness/stage.ts'

const CONNECTIONS = 32
/** Short, so that the two take turns often: what else the machine does meets both alike. */
const SLICE_SECONDS = 1
const PROCESSES = { quick: 3, full: 6 }

export const benchmark: Benchmark = {
  doc: 'hello world through the app beside bare Fastify',
  peers: ['fastify'],
  async run({ rounds, note, quick }) {
    note('compiling sluice')
    using stage = await buildStage()
    const load = spawnSync('wrk', ['--version']).error === undefined ? wrk : ownLoad
    await using processes = new AsyncDisposableStack()
    const count = quick ? PROCESSES.quick : PROCESSES.full
    const start = async (program: string): Promise<readonly Served[]> => {
      const started: Served[] = []
      while (started.length < count) {
        started.push(processes.use(await serve(stage.program(program, 'ours'))))
      }
      return started
    }
    const perRequest = new Map<string, number[]>()
    const subjects: Subject[] = []
    for (const [name, program] of Object.entries({ sluice: 'hello.js', fastify: 'bare.js' })) {
      const served = await start(program)
      const values: number[] = []
      let turn = 0
      perRequest.set(name, values)
      subjects.push({
        name,
        unit: 'requests/s',
        async measure() {
          const one = served[turn++ % count] as Served
          const before = cpuMicros(one)
          const requests = await load(one.url, SLICE_SECONDS)
          values.push((cpuMicros(one) - before) / requests)
          return requests / SLICE_SECONDS
        },
      })
    }
    const rows = await rounds(subjects, { rounds: 36, quickRounds: 6, warmUp: count })
    const cpuRows = [...perRequest].map(([name, values]) => {
      // On a busy machine there may have been no warm-up.
      const sorted = values.slice(values.length > count ? count : 0).toSorted((a, b) => a - b)
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
        processes_each: count,
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

/** Processor time of all threads of a process so far, from /proc, which counts nanoseconds there; NaN where there is none. */
function cpuMicros({ child }: Served): number {
  const tasks = `/proc/${child.pid}/task`
  try {
    const times = readdirSync(tasks).map((task) => readFileSync(`${tasks}/${task}/schedstat`, 'utf8'))
    return times.reduce((sum, text) => sum + Number(text.split(' ', 1)[0]) / 1_000, 0)
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
