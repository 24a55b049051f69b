/** A server that is killed under load. What it acknowledged is there, and what is not known is told so. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ownServer } from '../components/redis/own-server.ts'
import { until } from '../components/postgres/embedded/support/harness.ts'
import { ask, becomes } from './support/http.ts'
import { ownServers } from './support/servers.ts'
import { skip, startHere } from './support/service.ts'
import type { Told } from './programs/service.ts'

const servers = ownServers()

const CLIENTS = 16
const ROUNDS = 3
/** The longest wait before an attempt and its deadline; twice, for one may meet a server that is about to appear. */
const RECOVERY_MS = 2 * (4_000 + 1_000)
/** For a start that is not what is tested. */
const READY_MS = 30_000
/** After these nobody knows whether the write took place; after every other failure it did not. */
const UNKNOWN: ReadonlySet<string> = new Set(['SLUICE_OUTCOME_UNKNOWN', 'SLUICE_TIMEOUT'])
const EXPECTED: ReadonlySet<string> = new Set([
  ...UNKNOWN,
  'SLUICE_UNAVAILABLE',
  'SLUICE_NOT_READY',
  'SLUICE_BREAKER_OPEN',
])

interface Server {
  kill(): Promise<void>
  start(): Promise<void>
}

/** Writes under load while `server` is killed and started again; each write's code by its number. */
async function writesUnderKills(
  url: string,
  server: Server,
  path: string,
  probe: string,
): Promise<ReadonlyMap<number, string>> {
  const outcomes = new Map<number, string>()
  let over = false
  let next = 1
  let acknowledged = 0
  const client = async (): Promise<void> => {
    while (!over) {
      const id = next++
      const { status, body } = await ask(`${url}/${path}/${id}`, 'POST')
      const code = status === 201 ? 'OK' : (JSON.parse(body) as Told).code
      outcomes.set(id, code)
      if (code === 'OK') acknowledged++
    }
  }
  const clients = Array.from({ length: CLIENTS }, client)
  const progress = (count: number): Promise<void> => {
    const goal = acknowledged + count
    return until(async () => acknowledged >= goal, `${count} writes more`, 20_000)
  }
  try {
    for (let round = 0; round < ROUNDS; round++) {
      await progress(100)
      await server.kill()
      assert.equal((await ask(`${url}/plain`)).status, 200)
      await server.start()
      await becomes(url + probe, 200, RECOVERY_MS)
    }
    await progress(100)
  } finally {
    over = true
    await Promise.all(clients)
  }
  return outcomes
}

function check(outcomes: ReadonlyMap<number, string>, effectsOf: (id: number) => number): void {
  const wrong: string[] = []
  for (const [id, code] of outcomes) {
    const effects = effectsOf(id)
    if (code === 'OK' ? effects !== 1 : UNKNOWN.has(code) ? effects > 1 : effects !== 0)
      wrong.push(`${id}: ${code}, and ${effects} effects`)
  }
  assert.deepEqual(wrong, [])
  const codes = new Set(outcomes.values())
  assert.ok(
    codes.has('SLUICE_OUTCOME_UNKNOWN'),
    `no kill met a write that was under way: ${[...codes].join()}`,
  )
  assert.deepEqual(
    [...codes].filter((code) => code !== 'OK' && !EXPECTED.has(code)),
    [],
  )
}

test(
  'PostgreSQL killed under load loses no acknowledged row, and no refused one appears',
  { skip },
  async () => {
    await using redis = await ownServer()
    await using service = await startHere({ dsn: servers.postgres.dsn, addr: redis.addr })
    const { app, url } = service
    await becomes(`${url}/db`, 200, READY_MS)
    const outcomes = await writesUnderKills(url, servers.postgres, 'items', '/db')
    const rows = await app.components.db.query<{ id: number }>('select id from items')
    const there = new Set(rows.map(({ id }) => id))
    check(outcomes, (id) => (there.has(id) ? 1 : 0))
  },
)

test('Redis killed under load loses no acknowledged count, and counts none twice', { skip }, async () => {
  // Redis promises an acknowledged write only with this.
  await using redis = await ownServer(['--appendonly', 'yes', '--appendfsync', 'always'])
  await using service = await startHere({ dsn: servers.postgres.dsn, addr: redis.addr })
  const { app, url } = service
  await becomes(`${url}/cache`, 200, READY_MS)
  const outcomes = await writesUnderKills(url, redis, 'counts', '/cache')
  const ids = [...outcomes.keys()]
  const { values } = await app.components.cache.getBatch(ids.map((id) => `count:${id}`)).waitAll()
  const counts = new Map(ids.map((id, at) => [id, Number(values[at] ?? 0)]))
  check(outcomes, (id) => counts.get(id) ?? 0)
})
