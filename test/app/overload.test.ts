import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createApp } from '../../src/app/app.ts'
import { memoryUse, Overload } from '../../src/app/overload.ts'
import { silentLogger } from '../../src/telemetry/log.ts'

const limits = { maxLoopDelayMs: 300, maxMemory: 0.9 }

test('one long task is no overload; a loop that stays late is, until it has caught up', () => {
  const overload = new Overload(limits)
  overload.loopWasLate(0)
  overload.loopWasLate(10_000)
  assert.equal(overload.reason, undefined)
  overload.loopWasLate(0)
  for (let index = 0; index < 5; index++) overload.loopWasLate(400)
  assert.equal(overload.reason, 'event loop')
  overload.loopWasLate(50)
  assert.equal(overload.reason, undefined)
})

test('memory near its limit turns requests away until it has fallen clearly', () => {
  const overload = new Overload(limits)
  overload.memoryIs({ resident: 0.91, heap: 0.1 })
  assert.equal(overload.reason, 'memory')
  overload.memoryIs({ resident: 0.88, heap: 0.1 })
  assert.equal(overload.reason, 'memory')
  overload.memoryIs({ resident: 0.84, heap: 0.1 })
  assert.equal(overload.reason, undefined)
  overload.memoryIs({ resident: 0, heap: 0.95 })
  assert.equal(overload.reason, 'memory')
})

test('what this process uses is a share of what it may', () => {
  const { resident, heap } = memoryUse()
  assert.ok(resident >= 0 && resident < 1)
  assert.ok(heap > 0 && heap < 1)
})

test('an overwhelmed app turns its routes away over a real socket, and still answers who looks after it', async () => {
  const app = createApp({
    name: 'demo',
    port: 0,
    host: '127.0.0.1',
    env: {},
    logger: silentLogger,
    http: { overload: { maxMemory: 0.0001 } },
  })
  app.service('routes', ({ http }) => {
    http.get('/', () => ({ ok: true }))
    http.post('/', () => ({ ok: true }))
  })
  await app.start()
  await using _ = app
  const get = (path: string) => fetch(app.address.url + path)
  const until = AbortSignal.timeout(10_000)
  let refused = await get('/')
  while (refused.status === 200) {
    until.throwIfAborted()
    await refused.text()
    refused = await get('/')
  }
  assert.equal(refused.status, 503)
  assert.match(refused.headers.get('retry-after') ?? '', /^[1-9]\d*$/)
  assert.match(refused.headers.get('content-type') ?? '', /problem\+json/)
  assert.equal(((await refused.json()) as { code: string }).code, 'OVERLOADED')
  const posted = await fetch(`${app.address.url}/`, { method: 'POST', body: 'x'.repeat(1_000) })
  assert.equal(posted.status, 503)
  assert.equal(posted.headers.get('connection'), 'close')
  assert.equal((await get('/nothing')).status, 503)
  for (const path of [
    '/livez',
    '/readyz',
    '/startupz',
    '/health',
    '/health/infrastructure',
    '/metrics?x=1',
  ]) {
    assert.equal((await get(path)).status, 200, path)
  }
  const metrics = await (await get('/metrics')).text()
  assert.match(metrics, /http_server_request_duration_seconds_count\{[^}]*status="503"/)
})
