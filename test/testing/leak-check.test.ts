import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { test } from 'node:test'
import { assertNoLeaks, leaksSince, snapshotResources } from '../../src/testing/leak-check.ts'

test('a timer, a server and a listener that stay are named', async () => {
  const earlier = snapshotResources()
  const timer = setInterval(() => {}, 60_000)
  const server = createServer().listen(0, '127.0.0.1')
  const listener = (): void => {}
  process.on('SIGUSR2', listener)
  await once(server, 'listening')
  try {
    await assert.rejects(assertNoLeaks(earlier, { within: 0 }), (error: Error) => {
      assert.match(error.message, /Timeout: \d+ before, \d+ now/)
      assert.match(error.message, /TCPServerWrap: 0 before, 1 now/)
      assert.match(error.message, /process listener "SIGUSR2": \d+ before, \d+ now/)
      return true
    })
    assert.equal(
      leaksSince(earlier, ['TCPServerWrap']).some((leak) => leak.startsWith('TCPServerWrap')),
      false,
    )
  } finally {
    clearInterval(timer)
    server.close()
    process.off('SIGUSR2', listener)
  }
  await assertNoLeaks(earlier)
})

test('what closes a moment later is no leak', async () => {
  const earlier = snapshotResources()
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const checked = assertNoLeaks(earlier, { within: '5s' })
  server.close()
  await checked
})

test('leakCheck fails the file whose tests left something open', async () => {
  const file = new URL('./fixtures/leaking.ts', import.meta.url).pathname
  const child = spawn(process.execPath, ['--conditions=sluice-source', '--test', file], {
    env: { ...process.env, NODE_TEST_CONTEXT: undefined },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => void (output += text))
  const [code] = (await once(child, 'close')) as [number | null]
  assert.equal(code, 1)
  assert.match(output, /left open:/)
  assert.match(output, /file descriptor: \d+ before, \d+ now/)
})
