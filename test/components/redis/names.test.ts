/** Errors say the name that the app gave the component, since an app may have several of a kind. */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { fakeServer, welcome } from './fake-server.ts'
import { connectRedis } from './support.ts'

test('a server that is absent is told under the name of the component', async () => {
  const addr = `unix://${join(tmpdir(), `${randomUUID()}.sock`)}`
  await using made = await connectRedis({ addr }, { idle: true })
  await assert.rejects(made.connect(), /^SluiceError: cache: cannot connect to /)
})

test("a server's refusal is told under the name of the component", async () => {
  await using server = await fakeServer((command) => welcome(command) ?? '-WRONGTYPE not a string\r\n')
  await using made = await connectRedis({ addr: server.addr })
  await assert.rejects(made.cache.get('a'), /^SluiceError: "cache: get" failed: redis replied: WRONGTYPE/)
})

test('a lock that another holds is told under the name of the component', async () => {
  await using made = await connectRedis()
  await using held = await made.cache.lock('a')
  assert.equal(held.key, 'a')
  await assert.rejects(made.cache.lock('a', { wait: 0 }), /^SluiceError: cache: another holds the lock/)
})
