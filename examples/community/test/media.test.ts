/** Pictures: uploaded past the app, looked at in a thread, shown when they are pictures. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { crc32, deflateSync } from 'node:zlib'
import { leakCheck } from 'sluice/testing'
import { averageColor } from '../media/png.ts'
import { sizeOf } from '../media/size.ts'
import type { ShownPost } from '../post-card.ts'
import { community, must, publish, register, send, settled, type Community } from './support.ts'

leakCheck()

const RED: readonly [number, number, number] = [200, 16, 32]

test('a picture is put into the store by its own URL, looked at, and shown with a post', async () => {
  await using site = await community()
  const [ada, bob] = (await register(site, 'ada', 'bob')) as [string, string]
  const picture = png(40, 30, RED)
  const id = await upload(site, ada, picture, 'image/png')
  assert.equal((await send(site, 'POST', '/posts', bob, { body: 'not mine', mediaId: id })).statusCode, 404)
  const state = await looked(site, id)
  assert.deepEqual(state, { id, state: 'ready', width: 40, height: 30, color: '#c81020' })

  const post = await publish(site, ada, 'Look', { mediaId: id })
  const shown = await must<ShownPost>(site, 'GET', `/posts/${post}`)
  assert.deepEqual(shown.media, { id, width: 40, height: 30, color: '#c81020' })
  const bytes = await site.fetch(`/media/${id}/bytes`)
  assert.equal(bytes.headers.get('content-type'), 'image/png')
  assert.deepEqual(Buffer.from(await bytes.arrayBuffer()), picture)
  await settled(site)
})

test('what only says that it is a picture is refused, and not kept', async () => {
  await using site = await community()
  const [ada] = (await register(site, 'ada')) as [string]
  const id = await upload(site, ada, Buffer.from('<script>alert(1)</script>'), 'image/png')
  assert.equal((await looked(site, id)).state, 'refused')
  assert.equal((await send(site, 'POST', '/posts', ada, { body: 'look', mediaId: id })).statusCode, 409)
  assert.equal((await send(site, 'GET', `/media/${id}/bytes`)).statusCode, 404)
  while (await site.components.store.exists(`media/${id}`));
})

test('an upload that is too large, of another kind, or was never made is refused', async () => {
  await using site = await community()
  const [ada] = (await register(site, 'ada')) as [string]
  const ask = (payload: object) => send(site, 'POST', '/media', ada, payload)
  assert.equal((await ask({ contentType: 'image/png', bytes: 100_000_000 })).statusCode, 400)
  assert.equal((await ask({ contentType: 'text/html', bytes: 10 })).statusCode, 400)
  const { id } = (await ask({ contentType: 'image/png', bytes: 10 })).json<{ id: string }>()
  assert.equal((await send(site, 'POST', `/media/${id}/uploaded`, ada)).statusCode, 409)
  assert.equal((await send(site, 'POST', '/posts', ada, { body: 'look', mediaId: id })).statusCode, 409)
})

test('sizes are read from the bytes of each kind', () => {
  const gif = Buffer.concat([Buffer.from('GIF89a'), Buffer.from([3, 0, 2, 0])])
  assert.deepEqual(sizeOf(gif), { type: 'gif', width: 3, height: 2 })
  const frame = [0xff, 0xc0, 0, 11, 8, 0, 5, 0, 7]
  const jpeg = Buffer.from([0xff, 0xd8, 0xff, 0xe0, 0, 4, 0, 0, ...frame])
  assert.deepEqual(sizeOf(jpeg), { type: 'jpeg', width: 7, height: 5 })
  const webp = Buffer.from('RIFF0000WEBPVP8X0000000000000000', 'latin1')
  webp.set([6, 0, 0, 8, 0, 0], 24)
  assert.deepEqual(sizeOf(webp), { type: 'webp', width: 7, height: 9 })
  assert.deepEqual(sizeOf(png(9, 4, RED)), { type: 'png', width: 9, height: 4 })
  for (const none of [
    Buffer.alloc(0),
    jpeg.subarray(0, 12),
    png(2, 2, RED).subarray(0, 20),
    Buffer.from('hello, world'),
  ]) {
    assert.equal(sizeOf(none), null)
  }
})

test('the average colour of a PNG does not depend on how its lines are filtered', () => {
  for (const filter of [0, 1, 2, 3, 4]) assert.equal(averageColor(png(16, 8, RED, filter)), '#c81020')
  const damaged = png(16, 8, RED)
  damaged.fill(0, 45)
  assert.equal(averageColor(damaged), null)
})

async function upload(site: Community, who: string, bytes: Buffer, contentType: string): Promise<string> {
  const asked = { contentType, bytes: bytes.length }
  const made = await must<{
    id: string
    upload: { url: string; method: string; headers: Record<string, string> }
  }>(site, 'POST', '/media', who, asked)
  const { url, method, headers } = made.upload
  const reply = await fetch(url, { method, headers, body: new Uint8Array(bytes) })
  assert.ok(reply.ok, await reply.text())
  await must(site, 'POST', `/media/${made.id}/uploaded`, who)
  await must(site, 'POST', `/media/${made.id}/uploaded`, who)
  return made.id
}

/** Resolves when the job has looked at it. */
async function looked(site: Community, id: string): Promise<{ readonly state: string }> {
  for (;;) {
    const media = await must<{ state: string }>(site, 'GET', `/media/${id}`)
    if (media.state === 'ready' || media.state === 'refused') return media
  }
}

/** One colour all over, with all lines filtered in one way. */
function png(width: number, height: number, color: readonly number[], filter = 0): Buffer {
  const lines = Array.from({ length: height }, (_, y) => filtered(width, color, filter, y))
  const header = Buffer.alloc(13)
  header.writeUInt32BE(width, 0)
  header.writeUInt32BE(height, 4)
  header.set([8, 2, 0, 0, 0], 8)
  return Buffer.concat([
    Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'),
    chunk('IHDR', header),
    chunk('IDAT', deflateSync(Buffer.concat(lines))),
    chunk('IEND', Buffer.alloc(0)),
  ])
}

/** What is left of a line of one colour when what the filter guesses was taken away. */
function filtered(width: number, color: readonly number[], filter: number, y: number): Buffer {
  const line = Buffer.alloc(width * 3 + 1)
  line[0] = filter
  for (let x = 0; x < width * 3; x++) {
    const own = color[x % 3] ?? 0
    const left = x < 3 ? 0 : own
    const above = y === 0 ? 0 : own
    const guesses = [0, left, above, (left + above) >> 1, left || above]
    line[x + 1] = (own - (guesses[filter] ?? 0)) & 255
  }
  return line
}

function chunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data])
  const [length, sum] = [Buffer.alloc(4), Buffer.alloc(4)]
  length.writeUInt32BE(data.length)
  sum.writeUInt32BE(crc32(body))
  return Buffer.concat([length, body, sum])
}
