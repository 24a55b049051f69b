/** A mail server that takes connections and says nothing: whoever is told to end does not wait for it. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { test } from 'node:test'
import { silentLogger } from 'sluice'
import type { JobContext, Jobs } from 'sluice/jobs'
import { mail } from './mail.ts'

test('a mail under way ends when its job is told to end, and its connection with it', async () => {
  const silent = createServer()
  silent.listen(0, '127.0.0.1')
  await once(silent, 'listening')
  const { port } = silent.address() as AddressInfo
  let send: ((context: JobContext<unknown>) => Promise<void>) | undefined
  const jobs = { handle: (_: unknown, fn: typeof send) => void (send = fn) } as unknown as Jobs
  const config = { mail: { url: `smtp://127.0.0.1:${port}`, from: 'todo@example.com' } }
  void mail.run({ jobs, config: config as Parameters<typeof mail.run>[0]['config'], log: silentLogger })
  const connected = once(silent, 'connection') as Promise<[Socket]>
  const stopping = new AbortController()
  const data = { to: 'ada@example.com', subject: 'hello', text: 'hello' }
  const sent = send!({ id: '1', data, attempt: 1, signal: stopping.signal } as JobContext<unknown>)
  const [socket] = await connected
  const closed = once(socket.resume(), 'close')
  const reason = new Error('the process stops')
  stopping.abort(reason)
  await assert.rejects(sent, { name: 'AbortError', cause: reason })
  await closed
  silent.close()
})
