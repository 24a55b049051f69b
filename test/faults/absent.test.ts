/** Servers that are not there: at the start, for ever, all at once, and again and again. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startFaultProxy, type FaultProxy } from '../../src/testing/fault-proxy.ts'
import { ManualClock } from '../../src/testing/manual-clock.ts'
import { freePort, ownServer } from '../components/redis/own-server.ts'
import { settledHeap } from './support/heap.ts'
import { ask, becomes } from './support/http.ts'
import { ownServers } from './support/servers.ts'
import { skip, startHere } from './support/service.ts'

const servers = ownServers()

/**
 * A server that appeared is in use within this time: at most four seconds pass before the next attempt, which may take
 * one; and once more, as that attempt may have met a server that was about to appear, or a busy machine.
 */
const RECOVERY_MS = 2 * (4_000 + 1_000)
/** For a start that is not what is tested. */
const READY_MS = 30_000

test(
  'servers that are absent at boot are used by themselves once they appear, each on its own',
  { skip },
  async () => {
    await using redis = await ownServer()
    await servers.postgres.kill()
    await redis.kill()
    await using service = await startHere({ dsn: servers.postgres.dsn, addr: redis.addr })
    const { url } = service
    for (const path of ['/livez', '/startupz', '/plain'])
      assert.equal((await ask(url + path)).status, 200, path)
    for (const path of ['/db', '/cache']) {
      const answer = await ask(url + path)
      assert.equal(answer.status, 503, path)
      assert.match(String(answer.headers['content-type']), /^application\/problem\+json/)
      assert.ok(Number(answer.headers['retry-after']) >= 1)
      assert.doesNotMatch(answer.body, /127\.0\.0\.1|ECONNREFUSED|postgres:/)
    }
    assert.deepEqual(await ask(`${url}/readyz`).then(({ status, body }) => [status, body]), [
      503,
      '{"status":"starting"}',
    ])
    await redis.start()
    await becomes(`${url}/cache`, 200, RECOVERY_MS)
    assert.equal((await ask(`${url}/db`)).status, 503)
    assert.equal((await ask(`${url}/readyz`)).status, 503)
    await servers.postgres.start()
    await becomes(`${url}/db`, 200, RECOVERY_MS)
    await becomes(`${url}/readyz`, 200, RECOVERY_MS)
    assert.equal((await ask(`${url}/readyz`)).body, '{"status":"ready"}')
  },
)

test('servers that never appear cost a line a minute each and no memory', { skip }, async () => {
  const nobody = `127.0.0.1:${await freePort()}`
  const clock = new ManualClock()
  await using service = await startHere({ dsn: `postgres://postgres@${nobody}/x`, addr: nobody }, { clock })
  const { app, url, lines } = service
  const attempts = (): number =>
    Object.values(app.init.status()).reduce((sum, each) => sum + each.attempts, 0)
  const hour = async (): Promise<void> => {
    for (let second = 0; second < 3_600; second += 5) {
      await clock.advance(5_000)
      // The refusal comes from the kernel, in its own time.
      await new Promise((resolve) => setImmediate(resolve))
    }
  }
  await hour()
  const heap = settledHeap()
  const tried = attempts()
  await hour()
  assert.ok(attempts() - tried > 100, `${attempts() - tried} attempts in an hour`)
  const grown = (settledHeap() - heap) / 2 ** 20
  assert.ok(grown < 5, `${grown.toFixed(1)} MB more after an hour`)
  for (const component of ['db', 'cache']) {
    const count = lines.filter((line) => line['component'] === component).length
    assert.ok(count >= 2 && count <= 121, `${count} lines of ${component} in two hours`)
  }
  assert.equal((await ask(`${url}/livez`)).status, 200)
  assert.equal(
    (await ask(`${url}/readyz`)).body,
    '{"status":"degraded"}',
    'the start was given up on, the process not',
  )
  assert.equal((await ask(`${url}/db`)).status, 503)
})

test(
  'everything down together and up together: few connects a second, ready again, and the port answered throughout',
  { skip },
  async (t) => {
    await using redis = await ownServer()
    await using toPostgres = await startFaultProxy({
      target: { host: '127.0.0.1', port: servers.postgres.port },
    })
    await using toRedis = await startFaultProxy({ target: { host: '127.0.0.1', port: redis.port } })
    const dsn = servers.postgres.dsn.replace(String(servers.postgres.port), String(toPostgres.port))
    await using service = await startHere({ dsn, addr: toRedis.address })
    const { app, url } = service
    await app.init.ready()
    await becomes(`${url}/db`, 200, READY_MS)
    const connects = [connectsOf(toPostgres), connectsOf(toRedis)]
    await Promise.all([servers.postgres.kill(), redis.kill()])
    for (const path of ['/db', '/cache']) {
      const answer = await ask(url + path)
      assert.ok(answer.status >= 500, `${path}: ${answer.status}`)
      assert.match(answer.body, /"code":"SLUICE_/)
    }
    await until(() => ['db', 'cache'].every((name) => app.init.status()[name]?.error !== null))
    const triesOf = (name: string): number => app.init.status()[name]?.attempts ?? 0
    const goals = ['db', 'cache'].map((name) => [name, triesOf(name) + 4] as const)
    // Four tries each take two to four seconds, as the waits grow.
    await until(() => goals.every(([name, tries]) => triesOf(name) >= tries))
    assert.equal((await ask(`${url}/livez`)).status, 200)
    await Promise.all([servers.postgres.start(), redis.start()])
    const took = await Promise.all(['/db', '/cache'].map((path) => becomes(url + path, 200, RECOVERY_MS)))
    const most = mostInASecond(connects.flat())
    // A component's own replacement of what it lost, then tries after at least 0, 125, 250 and 500 ms: five, for each.
    assert.ok(most <= 10, `${most} connects within a second`)
    t.diagnostic(`at most ${most} connects a second; back after ${took.map(Math.round).join(' and ')} ms`)
  },
)

test(
  'servers that flap lose nothing that was acknowledged, and readiness hardly moves',
  { skip },
  async () => {
    await using redis = await ownServer()
    await using toPostgres = await startFaultProxy({
      target: { host: '127.0.0.1', port: servers.postgres.port },
    })
    await using toRedis = await startFaultProxy({ target: { host: '127.0.0.1', port: redis.port } })
    const dsn = servers.postgres.dsn.replace(String(servers.postgres.port), String(toPostgres.port))
    await using service = await startHere({ dsn, addr: toRedis.address })
    const { app, url } = service
    await app.init.ready()
    await becomes(`${url}/db`, 200, READY_MS)
    let over = false
    const acknowledged: number[] = []
    let next = 0
    const writer = async (): Promise<void> => {
      while (!over) {
        const id = next++
        if ((await ask(`${url}/items/${id}`, 'POST')).status === 201) acknowledged.push(id)
      }
    }
    const statuses: number[] = []
    const watcher = async (): Promise<void> => {
      while (!over) statuses.push((await ask(`${url}/readyz`)).status)
    }
    const working = [writer(), writer(), watcher()]
    for (let round = 0; round < 10; round++) {
      await Promise.all([toPostgres.refuse(), toRedis.refuse()])
      toPostgres.reset()
      toRedis.reset()
      const writes = next
      await until(() => next > writes + 20)
      await Promise.all([toPostgres.accept(), toRedis.accept()])
      const done = acknowledged.length
      await until(() => acknowledged.length > done)
    }
    over = true
    await Promise.all(working)
    const flips = statuses.filter((status, at) => at > 0 && status !== statuses[at - 1]).length
    assert.ok(flips <= 6, `${flips} changes of readiness`)
    const rows = await app.components.db.query<{ id: number }>('select id from items')
    const there = new Set(rows.map(({ id }) => id))
    assert.deepEqual(
      acknowledged.filter((id) => !there.has(id)),
      [],
    )
  },
)

/** When the proxy was connected to, from now on. */
function connectsOf(proxy: FaultProxy): readonly number[] {
  const times: number[] = []
  const listen = async (): Promise<never> => {
    for (;;) {
      await proxy.nextConnection()
      times.push(performance.now())
    }
  }
  void listen()
  return times
}

function mostInASecond(times: readonly number[]): number {
  return Math.max(...times.map((from) => times.filter((at) => at >= from && at < from + 1_000).length))
}

async function until(fact: () => boolean): Promise<void> {
  for (const limit = performance.now() + 20_000; !fact();) {
    if (performance.now() > limit) throw new Error('not within 20 s')
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
