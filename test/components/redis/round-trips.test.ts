/** What is promised to take one round trip: all of it leaves before the first reply comes. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startFaultProxy } from '../../../src/testing/fault-proxy.ts'
import { missingServerProgram, ownServer } from './own-server.ts'
import { connectRedis, type Connected } from './support.ts'

const skip = await missingServerProgram()
const keys = Array.from({ length: 500 }, (_, at) => `mark_${at}_`)

type Cache = Connected['cache']

const calls: Readonly<Record<string, (cache: Cache) => PromiseLike<unknown>>> = {
  getBatch: (cache) => cache.getBatch(keys).waitAll(),
  setBatch: (cache) => cache.setBatch(Object.fromEntries(keys.map((key) => [key, 'x']))).waitAll(),
  pipeline: (cache) => cache.pipeline((p) => keys.map((key) => p.get(key))).waitAll(),
}

for (const [name, call] of Object.entries(calls)) {
  test(`${name} is sent whole before its first reply comes`, { skip, timeout: 30_000 }, async () => {
    await using server = await ownServer()
    await using proxy = await startFaultProxy({ target: { host: '127.0.0.1', port: server.port } })
    await using connected = await connectRedis({ addr: proxy.address })
    let sent = ''
    const whole = Promise.withResolvers<void>()
    // No reply passes until the last key has: with one more round trip this would wait for ever.
    proxy.intercept((bytes) => {
      sent += bytes.toString('latin1')
      if (keys.every((key) => sent.includes(key))) {
        proxy.heal()
        whole.resolve()
      }
      return bytes
    }, 'up')
    proxy.blackhole('down')
    const calling = call(connected.cache)
    await Promise.all([whole.promise, calling])
    assert.ok(sent.length > 0)
  })
}
