import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import { test } from 'node:test'
import { redis } from '../../../src/components/redis/index.ts'
import { isSluiceError } from '../../../src/core/errors.ts'
import type { Logger } from '../../../src/telemetry/log.ts'
import { silentLogger } from '../../../src/telemetry/log.ts'
import { openComponent } from '../../../src/testing/connect-component.ts'
import { serverAt } from '../../support/servers.ts'
import { connectRedis, hasCode } from './support.ts'

const server = await serverAt('redis')
const open = (env: Readonly<Record<string, string>>) => openComponent(redis(), { name: 'cache', env })

test('bare numbers of the environment count seconds, as deployments have them', async () => {
  await using opened = await open({
    REDIS_ADDR: 'cache.internal:6380',
    REDIS_POOL_SIZE: '10',
    REDIS_DIAL_TIMEOUT: '5',
  })
  assert.equal(opened.component.inspect()['address'], 'cache.internal:6380')
})

test('every fault of the configuration is told at once, with no secret in it', async () => {
  const wrong = open({
    REDIS_ADDR: 'redis://user:canary%@host',
    REDIS_POOL_SIZE: '0',
    REDIS_DIAL_TIMEOUT: 'soon',
    REDIS_MAX_RETRIES: '11',
    REDIS_PASSWORD: 'canary-too',
  })
  await assert.rejects(wrong, (error) => {
    assert.ok(hasCode('SLUICE_CONFIG')(error) && isSluiceError(error))
    const told = `${String(error)} ${JSON.stringify(error)}`
    for (const name of ['REDIS_ADDR', 'REDIS_POOL_SIZE', 'REDIS_DIAL_TIMEOUT', 'REDIS_MAX_RETRIES']) {
      assert.match(told, new RegExp(name))
    }
    assert.doesNotMatch(told, /canary/)
    return true
  })
})

test('more connections kept than allowed is a contradiction', async () => {
  await assert.rejects(
    open({ REDIS_POOL_SIZE: '2', REDIS_MIN_IDLE_CONNS: '3' }),
    /at most poolSize, which is 2/,
  )
})

test('wrong options in code are refused as those of the environment are', async () => {
  await assert.rejects(openComponent(redis({ addr: 'a:1,b:2' })), /Redis Cluster is not supported/)
  await assert.rejects(openComponent(redis({ maxBytes: 'huge' })), hasCode('SLUICE_CONFIG'))
})

test('certificates that are not verified are warned of', async () => {
  const warnings: (string | undefined)[] = []
  const log: Logger = {
    ...silentLogger,
    warn: (_fields, message) => void warnings.push(message),
    child: () => log,
  }
  await using _opened = await connectRedis(
    { addr: 'rediss://h', tlsRejectUnauthorized: false },
    { log, idle: true },
  )
  assert.equal(warnings.length, 1)
  assert.match(warnings[0] as string, /certificates are not verified/)
})

test('database and client name are set on the connection', { skip: server.skip }, async () => {
  await using connected = await connectRedis({ addr: server.url, db: 5 })
  const info = String(await connected.cache.command(['CLIENT', 'INFO']))
  assert.match(info, / db=5 /)
  assert.match(info, / name=test-app:cache /)
})

test('a long-lived signal handed to many calls collects no listeners', { skip: server.skip }, async () => {
  await using connected = await connectRedis({ addr: server.url, keyPrefix: 'sluice-test:listeners:' })
  const { signal } = new AbortController()
  const view = connected.cache.with({ signal })
  for (let round = 0; round < 20; round += 1) {
    await Promise.all(Array.from({ length: 100 }, () => view.get('a')))
    await view.getBatch(['a', 'b']).waitAll()
    await connected.cache.cached(`k${round}`, '1s', () => round, { signal })
    await using lock = await connected.cache.lock('job', { signal })
    assert.equal(lock.signal.aborted, false)
  }
  assert.equal(getEventListeners(signal, 'abort').length, 0)
})
