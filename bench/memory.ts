/**
 * Resident memory of a service that has started, answered a hundred requests and is idle since three seconds, beside
 * Fastify alone. Of its own process: what the embedded PostgreSQL takes besides is measured by `embedded`.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { get } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { ratio, type Benchmark } from './harness/benchmark.ts'
import { versionOfOurs } from './harness/peers.ts'
import { buildStage, serve } from './harness/stage.ts'

const REQUESTS = 100
const IDLE_MS = 3_000
const READY_LIMIT_MS = 30_000

const WITH_BOTH = 'sluice, embedded PostgreSQL and cache in memory'

export const benchmark: Benchmark = {
  doc: 'resident memory of an idle service with embedded PostgreSQL and cache in memory, beside Fastify',
  peers: [],
  async run({ rounds, note }) {
    note('compiling sluice')
    using stage = await buildStage()
    const directory = await mkdtemp(join(tmpdir(), 'sluice-bench-'))
    const env = { POSTGRES_DATA_DIR: join(directory, 'postgres') }
    const measure = (name: string) => async (): Promise<number> => {
      return residentOf(stage.program(name, 'ours'), env)
    }
    try {
      const rows = await rounds(
        [
          { name: WITH_BOTH, unit: 'MB', measure: measure('service.js') },
          { name: 'sluice, no component', unit: 'MB', measure: measure('hello.js') },
          { name: 'fastify', unit: 'MB', measure: measure('bare.js') },
        ],
        { rounds: 7, quickRounds: 2, warmUp: 0 },
      )
      return {
        versions: { fastify: versionOfOurs('fastify') },
        settings: { requests: REQUESTS, idleMs: IDLE_MS },
        rows,
        ratios: { memory_vs_fastify: ratio(rows, WITH_BOTH, 'fastify') },
      }
    } finally {
      await rm(directory, { recursive: true, force: true, maxRetries: 5 })
    }
  },
}

async function residentOf(program: string, env: Readonly<Record<string, string>>): Promise<number> {
  await using served = await serve(program, { env })
  try {
    const limit = performance.now() + READY_LIMIT_MS
    while ((await statusOf(`${served.url}/`)) !== 200) {
      if (performance.now() > limit) throw new Error(`${program} is not ready after ${READY_LIMIT_MS} ms`)
      await sleep(20)
    }
    for (let request = 0; request < REQUESTS; request += 1) await statusOf(`${served.url}/`)
    await sleep(IDLE_MS)
    const status = await readFile(`/proc/${served.child.pid}/status`, 'utf8')
    return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) / 1_024
  } finally {
    // In order, so that the embedded server is stopped with it.
    served.child.kill('SIGTERM')
    await served.exited
  }
}

function statusOf(url: string): Promise<number> {
  return new Promise((resolve, reject) => {
    get(url, { agent: false }, (response) => {
      response.resume()
      response.once('end', () => resolve(response.statusCode ?? 0))
    }).once('error', reject)
  })
}
