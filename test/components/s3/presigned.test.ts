/** Presigned URLs: those of a service are made here, those of a directory are served by the app. */
import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { test } from 'node:test'
import { createApp, silentLogger } from '../../../src/index.ts'
import { s3, type S3, type S3Options } from '../../../src/components/s3/index.ts'
import { systemClock, type Clock } from '../../../src/core/clock.ts'
import { connectComponent } from '../../../src/testing/connect-component.ts'
import { missingService, ownDirectory, patterned, serviceStage } from './support.ts'

const skip = await missingService()
const limit = { timeout: 60_000 }

interface Served extends AsyncDisposable {
  readonly files: S3
  readonly url: string
}

/** An app over a directory of its own. */
async function served(options: S3Options = {}, clock: Clock = systemClock): Promise<Served> {
  const { path, remove } = await ownDirectory()
  const app = createApp({
    name: 'served',
    port: 0,
    host: '127.0.0.1',
    logger: silentLogger,
    clock,
    components: { files: s3({ directory: path, ...options }) },
  })
  await app.start()
  await app.init.ready()
  return {
    files: app.components.files,
    url: app.address.url,
    async [Symbol.asyncDispose]() {
      await app.stop()
      await remove()
    },
  }
}

test('a URL of a service stores an object, and another one reads it', { ...limit, skip }, async () => {
  await using own = await serviceStage()
  const { api } = own
  const put = await api.presignPut('a/ü b+c', { contentType: 'text/plain', size: 5 })
  assert.equal(put.method, 'PUT')
  assert.deepEqual(put.headers, { 'content-type': 'text/plain', 'content-length': '5' })
  // S3Mock checks no signatures: that these headers are signed is what can be seen.
  const signed = new URL(put.url).searchParams
  assert.equal(signed.get('X-Amz-SignedHeaders'), 'content-length;content-type;host')
  assert.equal(signed.get('X-Amz-Expires'), '900')
  assert.equal(signed.has('x-amz-checksum-crc32'), false)
  assert.ok(Math.abs(put.expiresAt.getTime() - Date.now() - 900_000) < 60_000)
  const stored = await fetch(put.url, {
    method: 'PUT',
    body: 'hello',
    headers: { 'content-type': 'text/plain' },
  })
  assert.equal(stored.status, 200)
  assert.equal((await api.head('a/ü b+c')).contentType, 'text/plain')
  const get = await api.presignGet('a/ü b+c', {
    expiresIn: '1h',
    contentDisposition: 'attachment; filename="x"',
  })
  assert.equal(new URL(get.url).searchParams.get('X-Amz-Expires'), '3600')
  const answer = await fetch(get.url)
  assert.equal(await answer.text(), 'hello')
  assert.equal(answer.headers.get('content-disposition'), 'attachment; filename="x"')
})

test('a URL of a directory stores an object, and another one reads it', limit, async () => {
  await using own = await served({ keyPrefix: 'tenant-1/' })
  const { files } = own
  const bytes = patterned(300_000)
  const put = await files.presignPut('a/ü b+c&d', { contentType: 'image/png', size: bytes.length })
  assert.deepEqual(put.headers, { 'content-type': 'image/png', 'content-length': '300000' })
  const stored = await fetch(put.url, {
    method: 'PUT',
    body: bytes,
    headers: { 'content-type': 'image/png' },
  })
  assert.equal(stored.status, 200)
  const info = await files.head('a/ü b+c&d')
  assert.deepEqual(
    [info.size, info.contentType, `"${info.etag}"`],
    [300_000, 'image/png', stored.headers.get('etag')],
  )
  const get = await files.presignGet('a/ü b+c&d', { contentType: 'text/plain', contentDisposition: 'inline' })
  const answer = await fetch(get.url)
  assert.equal(answer.status, 200)
  assert.ok(Buffer.from(await answer.arrayBuffer()).equals(bytes))
  // What anybody may have stored comes from the app's own origin: browsers run nothing of it.
  assert.equal(answer.headers.get('x-content-type-options'), 'nosniff')
  assert.match(answer.headers.get('content-security-policy') ?? '', /sandbox/)
  assert.deepEqual(
    ['content-type', 'content-disposition', 'etag', 'content-length'].map((name) => answer.headers.get(name)),
    ['text/plain', 'inline', `"${info.etag}"`, '300000'],
  )
  const part = await fetch(get.url, { headers: { range: 'bytes=10-19' } })
  assert.deepEqual([part.status, part.headers.get('content-range')], [206, 'bytes 10-19/300000'])
  assert.ok(Buffer.from(await part.arrayBuffer()).equals(bytes.subarray(10, 20)))
  const head = await fetch(get.url, { method: 'HEAD' })
  assert.deepEqual([head.status, head.headers.get('content-length')], [200, '300000'])
  assert.deepEqual(files.status()['downloads'], { open: 0, waiting: 0 })
})

test('a URL that was changed in any place is refused', limit, async () => {
  await using own = await served()
  const { files } = own
  await files.upload('key', 'secret')
  await files.upload('other', 'secret')
  const get = await files.presignGet('key', { contentType: 'text/plain' })
  assert.equal((await fetch(get.url)).status, 200)
  const changes: readonly ((url: URL) => void)[] = [
    (url) => url.searchParams.set('key', 'other'),
    (url) => url.searchParams.append('key', 'other'),
    (url) => url.searchParams.set('expires', '99999999999'),
    (url) => url.searchParams.set('type', 'text/html'),
    (url) => url.searchParams.delete('type'),
    (url) => url.searchParams.set('disposition', 'inline'),
    (url) => url.searchParams.set('size', '5'),
    (url) => url.searchParams.set('more', '1'),
    (url) => url.searchParams.delete('signature'),
    (url) => url.searchParams.set('signature', ''),
    (url) => url.searchParams.set('signature', 'A'.repeat(43)),
    (url) => url.searchParams.set('signature', url.searchParams.get('signature')!.slice(0, -2)),
  ]
  for (const change of changes) {
    const url = new URL(get.url)
    change(url)
    const answer = await fetch(url)
    assert.equal(answer.status, 403, change.toString())
    assert.doesNotMatch(await answer.text(), /secret/)
  }
  // Another method than it was signed for.
  assert.equal((await fetch(get.url, { method: 'PUT', body: 'x' })).status, 403)
  assert.equal(await (await files.download('key')).text(), 'secret')
  const put = await files.presignPut('key')
  assert.equal((await fetch(put.url)).status, 403)
})

test('an upload is held to the length and the type that were signed', limit, async () => {
  await using own = await served()
  const { files } = own
  const { url } = await files.presignPut('key', { contentType: 'text/plain', size: 5 })
  const send = (body: string, type: string): Promise<Response> =>
    fetch(url, { method: 'PUT', body, headers: { 'content-type': type } })
  assert.equal((await send('hello!', 'text/plain')).status, 403)
  assert.equal((await send('hell', 'text/plain')).status, 403)
  assert.equal((await send('hello', 'text/html')).status, 403)
  assert.equal(await files.exists('key'), false)
  assert.equal((await send('hello', 'text/plain')).status, 200)
  // Without a length nothing is taken, as S3 does.
  const stream = new ReadableStream({
    start(controller) {
      controller.enqueue(Buffer.from('hello'))
      controller.close()
    },
  })
  const chunked = await fetch((await files.presignPut('other')).url, {
    method: 'PUT',
    body: stream,
    duplex: 'half',
  } as RequestInit)
  assert.equal(chunked.status, 411)
  assert.equal(await files.exists('other'), false)
  const empty = await fetch((await files.presignPut('empty')).url, { method: 'PUT', body: '' })
  assert.equal(empty.status, 200)
  assert.equal((await files.head('empty')).size, 0)
})

test('an upload that breaks off stores nothing', limit, async () => {
  await using own = await served()
  const { files } = own
  await files.upload('key', 'before')
  const { url } = await files.presignPut('key', { size: 1_000_000 })
  const { host, hostname, port, pathname, search } = new URL(url)
  const socket = connect(Number(port), hostname)
  socket.on('error', () => {})
  socket.write(`PUT ${pathname}${search} HTTP/1.1\r\nhost: ${host}\r\ncontent-length: 1000000\r\n\r\n`)
  await new Promise<void>((resolve) => void socket.write(patterned(500_000), () => resolve()))
  socket.resetAndDestroy()
  const uploads = (): number => (files.status()['uploads'] as { running: number }).running
  while (uploads() > 0) await new Promise((resolve) => setImmediate(resolve))
  assert.equal(await (await files.download('key')).text(), 'before')
})

test('a URL works until it expires, and what is not there is 404', limit, async () => {
  let ahead = 0
  const clock: Clock = { ...systemClock, now: () => Date.now() + ahead }
  const { path, remove } = await ownDirectory()
  try {
    await using open = await connectComponent(s3({ directory: path, publicUrl: 'https://files.example/' }), {
      clock,
    })
    const { url, expiresAt } = await open.api.presignGet('key', { expiresIn: '10m' })
    assert.match(url, /^https:\/\/files\.example\/_objects\/s3\?key=key&/)
    assert.ok(Math.abs(expiresAt.getTime() - Date.now() - 600_000) < 60_000)
  } finally {
    await remove()
  }
  await using own = await served({}, clock)
  const missing = await own.files.presignGet('nothing')
  assert.equal((await fetch(missing.url)).status, 404)
  await own.files.upload('key', 'x')
  const { url } = await own.files.presignGet('key', { expiresIn: '1m' })
  assert.equal((await fetch(url)).status, 200)
  ahead = 61_000
  const late = await fetch(url)
  assert.deepEqual([late.status, ((await late.json()) as { code: string }).code], [403, 'URL_EXPIRED'])
})

test("processes that share a directory or a key take each other's URLs; others do not", limit, async () => {
  const { path, remove } = await ownDirectory()
  try {
    const publicUrl = 'http://same'
    const sign = async (options: S3Options): Promise<string> => {
      await using open = await connectComponent(s3({ publicUrl, ...options }))
      const { url } = await open.api.presignGet('key', { expiresIn: '7d' })
      return new URL(url).searchParams.get('signature') ?? ''
    }
    await using first = await served({ directory: path })
    const { url } = await first.files.presignGet('key')
    await first.files.upload('key', 'shared')
    await using second = await served({ directory: path })
    const moved = new URL(url)
    moved.port = new URL(second.url).port
    assert.equal(await (await fetch(moved)).text(), 'shared')
    await using third = await served({ signingKey: 'another key' })
    moved.port = new URL(third.url).port
    assert.equal((await fetch(moved)).status, 403)
    assert.notEqual(await sign({ directory: path }), await sign({ directory: path, signingKey: 'x' }))
  } finally {
    await remove()
  }
})

test(
  'without an app that listens there is no URL of a directory, and the message says what to set',
  limit,
  async () => {
    const { path, remove } = await ownDirectory()
    try {
      await using open = await connectComponent(s3({ directory: path }))
      await assert.rejects(Promise.resolve(open.api.presignGet('key')), {
        code: 'SLUICE_UNSUPPORTED',
        hint: /S3_PUBLIC_URL/,
      })
    } finally {
      await remove()
    }
  },
)
