/** What is promised to take one round trip: all of it leaves before the first reply comes. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startFaultProxy } from '../../../src/testing/fault-proxy.ts'
import { connected, dsnAt, server, skip } from './support.ts'

test('a batch is sent whole before its first reply comes', { skip, timeout: 30_000 }, async () => {
  const { hostname, port } = new URL(server.url)
  await using proxy = await startFaultProxy({ target: { host: hostname, port: Number(port || 5432) } })
  await using made = await connected({ dsn: dsnAt(proxy.port), maxOpenConns: 1 })
  const count = 500
  const marks = Array.from({ length: count }, (_, at) => `mark_${at}_`)
  let sent = ''
  let held = true
  const whole = Promise.withResolvers<void>()
  // No reply passes until the last statement has: with one more round trip this would wait for ever.
  proxy.intercept((bytes) => {
    sent += bytes.toString('latin1')
    if (held && marks.every((mark) => sent.includes(mark))) {
      held = false
      proxy.heal()
      whole.resolve()
    }
    return bytes
  }, 'up')
  proxy.blackhole('down')
  const batch = made.api.batch(marks.map((mark) => `select '${mark}' as mark`)).waitAll()
  await whole.promise
  const { values } = await batch
  assert.equal(values.length, count)
  assert.deepEqual(values[count - 1], [{ mark: `mark_${count - 1}_` }])
})
