/** Restarts of the process: under load, and while it has hardly begun to start. */
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { Agent, request } from 'node:http'
import { join } from 'node:path'
import { test } from 'node:test'
import { seededRandom } from '../../src/testing/seeded-random.ts'
import { killServers, quickDirectory, serversOn } from '../components/postgres/embedded/support/harness.ts'
import { soakCycles } from '../support/soak.ts'
import { freePort } from '../components/redis/own-server.ts'
import { ask, becomes } from './support/http.ts'
import { ownServers } from './support/servers.ts'
import { startProgram, type Program } from './support/program.ts'
import { skip } from './support/service.ts'

const READY_MS = 30_000
const CLIENTS = 40
const RESTARTS = soakCycles(5, 200)
/** Acknowledged between two of them. */
const WRITES = 100
/** A server that is being started is waited for: on a busy machine longer than a close usually may take. */
const PATIENT = { CLOSE: '15s', BUDGET: '30s' }
/** Of the boot, first initdb included. */
const INTERRUPTED_BOOTS = soakCycles(6, 100)
/** Migrations of a first boot. */
const STEPS = 10

const servers = ownServers()

test(
  'forty clients that write to a real database lose no request and no row over restarts',
  // More than the usual minute, for a machine with a fifth of this one's speed.
  { skip, timeout: soakCycles(150_000, 1_500_000) },
  async (t) => {
    const port = await freePort()
    const start = async (): Promise<Program> => {
      const program = await startProgram({
        env: {
          ...PATIENT,
          POSTGRES_DSN: servers.postgres.dsn,
          REDIS_ADDR: servers.redis.addr,
          TEST_PORT: String(port),
        },
      })
      await becomes(`${program.url}/db`, 200, READY_MS)
      return program
    }
    let program = await start()
    const acknowledged: number[] = []
    const broken: string[] = []
    const stops: number[] = []
    let next = 1
    let over = false
    const client = async (): Promise<void> => {
      const agent = new Agent({ keepAlive: true, maxSockets: 1 })
      for (let id = next++; !over;) {
        try {
          const { status, body } = await post(agent, port, `/items/${id}`)
          // A process that has just begun has no database yet, and says so.
          if (status === 503 && body.includes('SERVICE_NOT_READY')) continue
          if (status === 201) acknowledged.push(id)
          else broken.push(`${id}: ${status} ${body}`)
          id = next++
        } catch (error) {
          // Nobody listens between two lives; a request that was never taken is not a broken one.
          const { code } = error as NodeJS.ErrnoException
          if (code === 'ECONNREFUSED') await new Promise((resolve) => setTimeout(resolve, 5))
          else {
            broken.push(`${id}: ${code ?? String(error)}`)
            id = next++
          }
        }
      }
      agent.destroy()
    }
    const clients = Array.from({ length: CLIENTS }, client)
    const progress = async (count: number): Promise<void> => {
      const goal = acknowledged.length + count
      while (acknowledged.length < goal && broken.length === 0)
        await new Promise((resolve) => setTimeout(resolve, 5))
    }
    try {
      await progress(WRITES)
      for (let round = 0; round < RESTARTS; round++) {
        const began = performance.now()
        program.kill('SIGTERM')
        assert.equal(await program.exit, 0, program.output)
        stops.push(performance.now() - began)
        program = await start()
        await progress(WRITES)
      }
      over = true
      await Promise.all(clients)
      const rows = (
        JSON.parse((await ask(`${program.url}/items`)).body) as { readonly ids: readonly number[] }
      ).ids
      const there = new Set(rows)
      assert.deepEqual(broken, [])
      assert.ok(acknowledged.length >= WRITES * RESTARTS)
      stops.sort((a, b) => a - b)
      const [median = 0, longest = 0] = [stops[stops.length >> 1], stops.at(-1)]
      t.diagnostic(
        `${RESTARTS} restarts, ${acknowledged.length} writes acknowledged; a stop took ${Math.round(median)} ms, at most ${Math.round(longest)} ms`,
      )
      assert.deepEqual(
        acknowledged.filter((id) => !there.has(id)),
        [],
      )
    } finally {
      over = true
      await program[Symbol.asyncDispose]()
      await Promise.all(clients)
    }
  },
)

test(
  'a boot that is interrupted anywhere, initdb and migrations included, ends in order and the next one works',
  { timeout: soakCycles(150_000, 1_500_000) },
  async (t) => {
    const directory = await mkdtemp(join(await quickDirectory(), 'sluice-boot-'))
    const data = join(directory, 'data')
    const env = { ...PATIENT, STEPS: String(STEPS), POSTGRES_DATA_DIR: directory }
    const random = seededRandom(8)
    try {
      const began = performance.now()
      {
        await using whole = await startProgram({
          env: { ...env, POSTGRES_DATA_DIR: join(directory, 'first') },
        })
        await becomes(`${whole.url}/db`, 200, READY_MS)
        whole.kill('SIGTERM')
        assert.equal(await whole.exit, 0)
      }
      const bootMs = performance.now() - began
      const ends = new Map<number | string, number>()
      for (let round = 0; round < INTERRUPTED_BOOTS; round++) {
        const program = startProgram({ env, until: /^/ })
        await using running = await program
        // Spread over a whole first boot; what earlier rounds left is made use of, or is not there any more.
        await new Promise((resolve) => setTimeout(resolve, (bootMs * (round + random())) / INTERRUPTED_BOOTS))
        running.kill('SIGTERM')
        const code = await running.exit
        const end = running.output === '' ? 'before its first line' : code
        ends.set(end, (ends.get(end) ?? 0) + 1)
        // Before node has come to the first line of the program, the signal ends it as any other.
        const expected: readonly (number | string)[] = running.output === '' ? [0, 'SIGTERM'] : [0]
        assert.ok(expected.includes(code), `${code}: ${running.output}`)
        assert.deepEqual(await serversOn(data), [], 'its server was stopped')
        if (round % 3 === 2) await rm(data, { recursive: true, force: true })
      }
      await using last = await startProgram({ env })
      await becomes(`${last.url}/db`, 200, READY_MS)
      assert.equal((await ask(`${last.url}/items/1`, 'POST')).status, 201)
      const { steps } = JSON.parse((await ask(`${last.url}/steps`)).body) as {
        readonly steps: readonly number[]
      }
      assert.deepEqual(steps, [...Array(STEPS).keys()], 'each migration took place once and whole')
      t.diagnostic(
        `${INTERRUPTED_BOOTS} boots of ${Math.round(bootMs)} ms interrupted; exits ${JSON.stringify([...ends])}`,
      )
      last.kill('SIGTERM')
      assert.equal(await last.exit, 0)
    } finally {
      await killServers(data)
      await rm(directory, { recursive: true, force: true, maxRetries: 5 })
    }
  },
)

function post(
  agent: Agent,
  port: number,
  path: string,
): Promise<{ readonly status: number; readonly body: string }> {
  return new Promise((resolve, reject) => {
    const call = request({ host: '127.0.0.1', port, path, agent, method: 'POST' }, (response) => {
      let body = ''
      response.setEncoding('utf8')
      response.on('data', (chunk) => (body += String(chunk)))
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }))
      response.on('error', reject)
    })
    call.on('error', reject)
    call.end()
  })
}
