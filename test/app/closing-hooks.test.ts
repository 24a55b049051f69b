/** Fastify's closing hooks of the user's own, while requests are still under way. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createApp } from '../../src/app/app.ts'
import { silentLogger } from '../../src/telemetry/log.ts'

test('an onClose hook does not cut a request that is under way, and runs once it is answered', async () => {
  const app = createApp({ name: 'demo', port: 0, host: '127.0.0.1', env: {}, logger: silentLogger })
  const events: string[] = []
  const begun = Promise.withResolvers<void>()
  const preClosed = Promise.withResolvers<void>()
  const answer = Promise.withResolvers<string>()
  app.http.addHook('preClose', async () => {
    events.push('preClose')
    preClosed.resolve()
  })
  app.http.addHook('onClose', async () => {
    events.push('onClose')
  })
  app.http.get('/slow', async () => {
    begun.resolve()
    const text = await answer.promise
    events.push('answered')
    return { text }
  })
  await app.start()
  const asked = fetch(`${app.address.url}/slow`)
  await begun.promise
  const stopped = app.stop()
  await preClosed.promise
  // Hooks that would run beside the request have had their turn.
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve))
  answer.resolve('in full')
  const response = await asked
  assert.deepEqual([response.status, await response.json()], [200, { text: 'in full' }])
  assert.equal(await stopped, 0)
  assert.deepEqual(events, ['preClose', 'answered', 'onClose'])
})
