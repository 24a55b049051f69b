import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createApp } from '../../src/app/app.ts'
import type { HealthReport } from '../../src/app/health.ts'
import { fake } from './fake-component.ts'

test('the port answers while a component has not connected, and the routes that need it open by themselves', async () => {
  const db = fake('db')
  const gate = Promise.withResolvers<void>()
  db.connect = () => gate.promise
  await using app = createApp({
    name: 'demo',
    components: { db: db.definition },
    port: 0,
    host: '127.0.0.1',
    env: {},
  })
  app.service('pings', ({ db: store, http }) => {
    http.get('/ping', async () => ({ answer: await store.ping() }))
  })
  app.service('free', ({ http }) => {
    http.get('/free', () => ({ ok: true }))
  })
  await app.start()
  const get = (path: string) => fetch(app.address.url + path)
  assert.equal((await get('/livez')).status, 200)
  assert.equal((await get('/free')).status, 200)
  const waiting = await get('/ping')
  assert.equal(waiting.status, 503)
  assert.equal(waiting.headers.get('retry-after'), '1')
  assert.match(waiting.headers.get('content-type') ?? '', /problem\+json/)
  assert.equal((await get('/readyz')).status, 503)
  gate.resolve()
  await app.init.ready()
  assert.deepEqual(await (await get('/ping')).json(), { answer: 'pong' })
  assert.equal((await get('/readyz')).status, 200)
  const health = (await (await get('/health')).json()) as HealthReport
  assert.equal(health.infrastructure['db']?.state, 'ready')
  assert.equal(await app.stop(), 0)
  assert.deepEqual(db.calls, ['connect', 'close'])
})
