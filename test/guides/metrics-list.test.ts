/** The guide lists every metric that an app exposes by itself. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { createApp, silentLogger } from '../../src/index.ts'
import { redis } from '../../src/components/redis/index.ts'
import { parsePrometheus } from '../telemetry/prometheus-text.ts'

test('each metric of a running app is in the guide', async () => {
  const app = createApp({
    name: 'metrics',
    port: 0,
    host: '127.0.0.1',
    env: {},
    logger: silentLogger,
    components: { cache: redis() },
  })
  await app.start()
  try {
    await app.init.ready()
    await app.components.cache.get('key')
    await (await fetch(`${app.address.url}/livez`)).text()
    const names = [...parsePrometheus(app.metrics.expose()).keys()]
    const guide = readFileSync(new URL('../../docs/guides/observability.md', import.meta.url), 'utf8')
    const missing = names.filter(
      (name) => !guide.includes(`\`${name}\``) && !name.startsWith('sluice_redis_'),
    )
    assert.deepEqual(missing, [])
    assert(names.length > 10)
  } finally {
    await app.stop()
  }
})
