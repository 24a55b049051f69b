/** What is bounded stays so: floods, many starts, one signal for everything. */
import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import { test } from 'node:test'
import { hasCode } from '../../src/core/errors.ts'
import { assertNoLeaks, snapshotResources } from '../../src/testing/leak-check.ts'
import { becomes } from './support/http.ts'
import { settledHeap } from './support/heap.ts'
import { ownServers } from './support/servers.ts'
import { skip, startHere, type ServiceHere } from './support/service.ts'

const READY_MS = 30_000
const MB = 2 ** 20

const servers = ownServers()

/** Far beyond what a slow machine needs, as time is not what these tests are about. */
const DEADLINE = '30s'

async function start(env: Readonly<Record<string, string>> = {}): Promise<ServiceHere> {
  const addresses = { POSTGRES_DSN: servers.postgres.dsn, REDIS_ADDR: servers.redis.addr }
  const service = await startHere(
    { dsn: servers.postgres.dsn, addr: servers.redis.addr },
    { env: { ...env, ...addresses }, deadline: DEADLINE },
  )
  await becomes(`${service.url}/db`, 200, READY_MS)
  await becomes(`${service.url}/cache`, 200, READY_MS)
  return service
}

test('a million tasks at once find a bounded pool, which refuses what it cannot hold', { skip }, async () => {
  await using service = await start({ GOROUTINE_POOL_SIZE: '10', APP_MAX_WAITING: '1000' })
  const { pool } = service.app
  const gate = Promise.withResolvers<void>()
  const kept = Array.from({ length: 1_010 }, () => pool.submit(() => gate.promise))
  const all = Promise.allSettled(kept)
  const heap = settledHeap()
  let refused = 0
  const flood = async (): Promise<void> => {
    const results = await Promise.allSettled(
      Array.from({ length: 1_000 }, () => pool.submit(() => gate.promise)),
    )
    for (const result of results) {
      assert.ok(result.status === 'rejected' && hasCode(result.reason, 'SLUICE_POOL_FULL'))
      refused++
    }
    // Without a promise and its error, refusing is cheap.
    for (let at = 0; at < 9_000; at++) if (!pool.post(() => gate.promise)) refused++
  }
  for (let slice = 0; slice < 100; slice++) await flood()
  assert.equal(refused, 1_000_000)
  assert.equal(pool.waiting, 1_000)
  const grown = (settledHeap() - heap) / MB
  assert.ok(grown < 16, `${grown.toFixed(1)} MB more`)
  gate.resolve()
  assert.ok((await all).every(({ status }) => status === 'fulfilled'))
  await becomes(`${service.url}/db`, 200, READY_MS)
})

test('calls of a component beyond its limits are refused, the others answered', { skip }, async () => {
  await using service = await start({ REDIS_MAX_IN_FLIGHT: '100', REDIS_MAX_WAITING: '1000' })
  const { cache } = service.app.components
  const results = await Promise.allSettled(Array.from({ length: 10_000 }, () => cache.get('value')))
  const failed = results.filter((result) => result.status === 'rejected')
  assert.ok(failed.every(({ reason }) => hasCode(reason, 'SLUICE_POOL_FULL')))
  assert.equal(results.length - failed.length, 1_100)
  assert.equal(await cache.get('value'), null)
})

test('an app that is started and stopped many times leaves nothing open', { skip }, async () => {
  const cycle = async (): Promise<void> => {
    await using service = await start()
    await service.app.components.db.transaction((tx) => tx.query('select 1'))
  }
  for (let warm = 0; warm < 3; warm++) await cycle()
  const earlier = snapshotResources()
  for (let round = 0; round < 12; round++) await cycle()
  await assertNoLeaks(earlier, { within: '5s' })
})

test('one signal for a hundred thousand calls collects no listener and no memory', { skip }, async () => {
  await using service = await start()
  const { db, cache } = service.app.components
  const { signal } = new AbortController()
  const warnings: Error[] = []
  const onWarning = (warning: Error): void => void warnings.push(warning)
  process.on('warning', onWarning)
  const calls = async (count: number): Promise<void> => {
    const store = cache.with({ signal })
    for (let at = 0; at < count; at += 1_000) {
      await Promise.all([
        ...Array.from({ length: 900 }, () => store.get('value')),
        ...Array.from({ length: 100 }, () => db.query('select 1 as n', [], { signal })),
      ])
    }
  }
  try {
    await calls(10_000)
    const heap = settledHeap()
    await calls(90_000)
    const grown = (settledHeap() - heap) / MB
    assert.ok(grown < 5, `${grown.toFixed(1)} MB more`)
  } finally {
    process.off('warning', onWarning)
  }
  assert.equal(getEventListeners(signal, 'abort').length, 0)
  assert.deepEqual(warnings, [])
})
