import assert from 'node:assert/strict'
import { test } from 'node:test'
import { silentLogger } from '../../../src/telemetry/log.ts'
import { createApp } from '../../../src/index.ts'
import { kafka } from '../../../src/components/kafka/index.ts'
import { eventually } from '../../support/eventually.ts'
import { missingBroker, proxied } from './support.ts'

const skip = await missingBroker()

test(
  'an app listens at once while its broker is absent, and is connected soon after it comes',
  { skip },
  async () => {
    const { proxy, brokers } = await proxied()
    await proxy.refuse()
    const app = createApp({
      name: 'late',
      port: 0,
      host: '127.0.0.1',
      env: {},
      logger: silentLogger,
      components: { kafka: kafka({ brokers, dialTimeout: '1s' }) },
    })
    try {
      const startedAt = performance.now()
      await app.start()
      const took = performance.now() - startedAt
      assert.ok(took < 1_000, `listened after ${took} ms`)
      await proxy.accept()
      await eventually(() => Promise.resolve(app.components.kafka.status().connected ? true : undefined))
    } finally {
      await app.stop()
      await proxy.close()
    }
  },
)
