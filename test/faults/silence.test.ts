/** Servers and networks that are frozen, silent, cut or slow between a service and its databases. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startFaultProxy, type FaultProxy } from '../../src/testing/fault-proxy.ts'
import { assertNoLeaks, snapshotResources } from '../../src/testing/leak-check.ts'
import { ask, becomes } from './support/http.ts'
import { soakCycles } from '../support/soak.ts'
import { ownServers } from './support/servers.ts'
import { skip, startHere, type ServiceHere } from './support/service.ts'

/** Of every call of the service, see its program. */
const DEADLINE_MS = 1_000
/** Ticks of the timers and of the measure. A busy machine adds nothing: time is that of the event loop. */
const SLACK_MS = 300
/** Within which a silent connection has been found and replaced, or a thawed server is used again. */
const RECOVERY_MS = 15_000
const READY_MS = 30_000

const servers = ownServers()

interface Behind extends AsyncDisposable {
  readonly service: ServiceHere
  readonly url: string
  readonly toPostgres: FaultProxy
  readonly toRedis: FaultProxy
}

async function behindProxies(options: Parameters<typeof startHere>[1] = {}): Promise<Behind> {
  const toPostgres = await startFaultProxy({ target: { host: '127.0.0.1', port: servers.postgres.port } })
  const toRedis = await startFaultProxy({ target: { host: '127.0.0.1', port: servers.redis.port } })
  const dsn = servers.postgres.dsn.replace(String(servers.postgres.port), String(toPostgres.port))
  const env = { POSTGRES_DSN: dsn, REDIS_ADDR: toRedis.address, ...options.env }
  const service = await startHere({ dsn, addr: toRedis.address }, { ...options, env })
  const { url } = service
  await becomes(`${url}/db`, 200, READY_MS)
  await becomes(`${url}/cache`, 200, READY_MS)
  return {
    service,
    url,
    toPostgres,
    toRedis,
    async [Symbol.asyncDispose]() {
      await service[Symbol.asyncDispose]()
      await toPostgres.close()
      await toRedis.close()
    },
  }
}

/** Every request that needs the silent one settles by its deadline, and all others are answered meanwhile. */
async function isContained(url: string, silent: string, healthy: string): Promise<void> {
  const meeting = Array.from({ length: 30 }, () => ask(url + silent))
  for (let round = 0; round < 10; round++) {
    for (const path of ['/livez', '/readyz', '/plain', healthy]) {
      const { status, ms } = await ask(url + path)
      assert.equal(status, 200, path)
      assert.ok(ms < 500, `${path} took ${Math.round(ms)} ms`)
    }
  }
  for (const { status, ms, body } of await Promise.all(meeting)) {
    assert.ok(status === 503 || status === 504, `${status}: ${body}`)
    assert.ok(ms < DEADLINE_MS + SLACK_MS, `settled after ${Math.round(ms)} ms`)
  }
}

test(
  'a frozen PostgreSQL or Redis is met by deadlines, and the rest of the service answers',
  { skip },
  async () => {
    await using it = await behindProxies()
    await servers.postgres.freeze()
    try {
      await isContained(it.url, '/db', '/cache')
    } finally {
      await servers.postgres.thaw()
    }
    await becomes(`${it.url}/db`, 200, RECOVERY_MS)
    servers.redis.freeze()
    try {
      await isContained(it.url, '/cache', '/db')
    } finally {
      servers.redis.thaw()
    }
    await becomes(`${it.url}/cache`, 200, RECOVERY_MS)
  },
)

test('connections that fall silent for good are found and replaced', { skip }, async () => {
  await using it = await behindProxies()
  const { url, toPostgres, toRedis } = it
  const old = [...toPostgres.connections, ...toRedis.connections]
  // Those that are open now; new ones are well.
  for (const connection of old) connection.blackhole()
  const took = await Promise.all(['/db', '/cache'].map((path) => becomes(url + path, 200, RECOVERY_MS)))
  assert.ok(took.every((ms) => ms > 0))
  const answers = await Promise.all(
    Array.from({ length: 20 }, (_, at) => ask(url + (at % 2 === 0 ? '/db' : '/cache'))),
  )
  assert.deepEqual([...new Set(answers.map(({ status }) => status))], [200])
})

test(
  'a network that swallows everything is contained, and used again when it is back',
  { skip },
  async () => {
    await using it = await behindProxies()
    const { url, toPostgres, toRedis } = it
    for (const [proxy, silent, healthy] of [
      [toPostgres, '/db', '/cache'],
      [toRedis, '/cache', '/db'],
    ] as const) {
      proxy.blackhole()
      await isContained(url, silent, healthy)
      proxy.reset()
      proxy.heal()
      await becomes(url + silent, 200, RECOVERY_MS)
    }
  },
)

test('a storm of resets under load leaves no descriptor, timer or listener', { skip }, async () => {
  const storm = async (resets: number): Promise<void> => {
    await using it = await behindProxies()
    const { url, toPostgres, toRedis, service } = it
    let over = false
    const client = async (path: string): Promise<void> => {
      while (!over) {
        const { status } = await ask(url + path)
        assert.ok(status === 200 || status === 503 || status === 504, String(status))
      }
    }
    const clients = ['/db', '/db', '/cache', '/cache'].map(client)
    for (let at = 0; at < resets; at++) {
      toPostgres.reset()
      toRedis.reset()
      assert.equal((await ask(`${url}/livez`)).status, 200)
    }
    over = true
    await Promise.all(clients)
    await becomes(`${url}/db`, 200, RECOVERY_MS)
    await becomes(`${url}/cache`, 200, RECOVERY_MS)
    assert.ok(toPostgres.counts.open <= 10, `${toPostgres.counts.open} connections to PostgreSQL`)
    assert.equal(toRedis.counts.open, 1)
    const { db } = service.app.components
    assert.equal((db.status()['connections'] as { waiting: number }).waiting, 0)
  }
  await storm(5)
  const earlier = snapshotResources()
  await storm(soakCycles(150, 1_000))
  await assertNoLeaks(earlier, { within: '5s' })
})

test('slow answers cause no second attempts', { skip }, async () => {
  await using it = await behindProxies({
    health: { interval: '1m' },
    // A call that is given up may be one too many or one too few; a busy machine must not decide.
    deadline: '30s',
    // Each call carries its text.
    env: { POSTGRES_PREPARED_STATEMENTS: 'false' },
  })
  const { url, toPostgres, toRedis } = it
  let statements = 0
  let commands = 0
  toPostgres.intercept((bytes) => {
    statements += occurrences(bytes, 'select 1 as n')
    return bytes
  }, 'up')
  toRedis.intercept((bytes) => {
    commands += occurrences(bytes, '$3\r\nGET\r\n')
    return bytes
  }, 'up')
  for (const proxy of [toPostgres, toRedis]) proxy.latency(60, { jitter: 50 })
  const calls = 100
  const failed: string[] = []
  const client = async (path: string): Promise<void> => {
    for (let at = 0; at < calls / 10; at++) {
      const { status, body } = await ask(url + path)
      if (status !== 200) failed.push(`${path}: ${body}`)
    }
  }
  await Promise.all(Array.from({ length: 20 }, (_, at) => client(at % 2 === 0 ? '/db' : '/cache')))
  assert.deepEqual(failed, [])
  assert.ok(statements >= calls && statements <= calls * 1.1, `${statements} statements for ${calls} calls`)
  assert.ok(commands === calls, `${commands} commands for ${calls} calls`)
})

function occurrences(bytes: Buffer, what: string): number {
  return bytes.toString('latin1').split(what).length - 1
}
