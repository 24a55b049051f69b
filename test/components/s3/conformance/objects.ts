import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { it } from 'node:test'
import type { StageFactory } from '../conformance.ts'
import { patterned } from '../support.ts'

const KEYS = [
  'plain',
  'with/slashes/in/it.txt',
  'a b+c&d=e?f#g%20h',
  'ünïcödé/日本語/🙂',
  "quotes'and(parens)!*~",
  'at@sign/@first/last@',
  '.hidden/..not-up/...',
  'UPPER',
  'x'.repeat(200),
] as const

export function objectsConformance(stage: StageFactory): void {
  it('text and bytes read back as they were stored', async () => {
    await using own = await stage()
    for (const body of ['', 'plain', 'ünï©ode 🙂\r\n\0', patterned(100_000)]) {
      const stored = await own.api.upload('key', body)
      const bytes = Buffer.from(body)
      assert.deepEqual(stored, {
        key: 'key',
        size: bytes.length,
        etag: createHash('md5').update(bytes).digest('hex'),
      })
      await using download = await own.api.download('key')
      assert.equal(download.length, bytes.length)
      assert.deepEqual(await download.bytes(), bytes)
    }
  })

  it('json and text are read from bodies', async () => {
    await using own = await stage()
    await own.api.upload('key', JSON.stringify({ a: ['ä', 1] }))
    assert.equal(await (await own.api.download('key')).text(), '{"a":["ä",1]}')
    assert.deepEqual(await (await own.api.download('key')).json(), { a: ['ä', 1] })
  })

  it('head says what was stored with an object', async () => {
    await using own = await stage()
    const before = Date.now()
    await own.api.upload('a/key', 'body', {
      contentType: 'text/plain;charset=utf-8',
      cacheControl: 'max-age=60',
      contentDisposition: 'attachment; filename="a.txt"',
      metadata: { Owner: 'ada', 'x-y': '1; 2, "3"' },
    })
    const { lastModified, ...info } = await own.api.head('a/key')
    assert.deepEqual(info, {
      key: 'a/key',
      size: 4,
      etag: createHash('md5').update('body').digest('hex'),
      contentType: 'text/plain;charset=utf-8',
      cacheControl: 'max-age=60',
      contentDisposition: 'attachment; filename="a.txt"',
      metadata: { owner: 'ada', 'x-y': '1; 2, "3"' },
    })
    // The service's own clock, in whole seconds.
    assert.ok(Math.abs(lastModified.getTime() - before) < 60_000)
    await using download = await own.api.download('a/key')
    assert.deepEqual({ ...download.info, lastModified: undefined }, { ...info, lastModified: undefined })
  })

  it('without attributes an object is bytes and nothing more', async () => {
    await using own = await stage()
    await own.api.upload('key', 'body')
    const { contentType, cacheControl, contentDisposition, metadata } = await own.api.head('key')
    assert.deepEqual(
      { contentType, cacheControl, contentDisposition, metadata: { ...metadata } },
      {
        contentType: 'application/octet-stream',
        cacheControl: undefined,
        contentDisposition: undefined,
        metadata: {},
      },
    )
  })

  it('an object that is stored again is another one, attributes included', async () => {
    await using own = await stage()
    await own.api.upload('key', 'first', { contentType: 'text/plain', metadata: { a: '1' } })
    await own.api.upload('key', 'second')
    const info = await own.api.head('key')
    assert.equal(info.contentType, 'application/octet-stream')
    assert.deepEqual({ ...info.metadata }, {})
    assert.equal(await (await own.api.download('key')).text(), 'second')
  })

  it('what is not there is SLUICE_NOT_FOUND', async () => {
    await using own = await stage()
    const attempts = [
      () => own.api.head('nothing'),
      () => own.api.download('nothing'),
      () => own.api.copy('nothing', 'b'),
    ]
    for (const attempt of attempts)
      await assert.rejects(Promise.resolve(attempt()), {
        code: 'SLUICE_NOT_FOUND',
        component: 's3',
        retryable: false,
      })
    assert.equal(await own.api.exists('nothing'), false)
    await own.api.upload('something', '')
    assert.equal(await own.api.exists('something'), true)
    assert.equal(await own.api.exists('some'), false)
    assert.equal(await own.api.exists('something/below'), false)
  })

  it('keys of all kinds are stored, found and deleted', async () => {
    await using own = await stage()
    for (const key of KEYS) await own.api.upload(key, key)
    for (const key of KEYS) {
      assert.equal((await own.api.head(key)).key, key)
      assert.equal(await (await own.api.download(key)).text(), key)
    }
    const listed = await Array.fromAsync(own.api.list(), ({ key }) => key)
    assert.deepEqual(
      listed,
      [...KEYS].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))),
    )
    for (const key of KEYS) await own.api.delete(key)
    assert.deepEqual(await Array.fromAsync(own.api.list()), [])
  })

  it('an object and keys below its name live beside each other', async () => {
    await using own = await stage()
    for (const key of ['a', 'a/b', 'a/b/c']) await own.api.upload(key, key)
    for (const key of ['a', 'a/b', 'a/b/c']) assert.equal(await (await own.api.download(key)).text(), key)
    await own.api.delete('a/b')
    assert.equal(await own.api.exists('a/b'), false)
    assert.equal(await own.api.exists('a/b/c'), true)
    assert.equal(await own.api.exists('a'), true)
  })

  it('a key that is not there may be deleted', async () => {
    await using own = await stage()
    await own.api.delete('nothing')
    await own.api.upload('key', 'x')
    await own.api.delete('key')
    await own.api.delete('key')
    assert.equal(await own.api.exists('key'), false)
  })

  it('ranges give the bytes that were asked for, and where they are', async () => {
    await using own = await stage()
    const bytes = patterned(1_000)
    await own.api.upload('key', bytes)
    for (const [range, from, to] of [
      [{ start: 0, end: 0 }, 0, 1],
      [{ start: 10, end: 19 }, 10, 20],
      [{ start: 990 }, 990, 1_000],
      [{ start: 990, end: 5_000 }, 990, 1_000],
      [{ last: 7 }, 993, 1_000],
      [{ last: 5_000 }, 0, 1_000],
    ] as const) {
      await using download = await own.api.download('key', { range })
      assert.deepEqual(
        { offset: download.offset, length: download.length, size: download.info.size },
        { offset: from, length: to - from, size: 1_000 },
      )
      assert.deepEqual(await download.bytes(), bytes.subarray(from, to))
    }
    await assert.rejects(own.api.download('key', { range: { start: 1_000 } }), {
      code: 'SLUICE_INVALID_ARGUMENT',
    })
  })

  it('a copy has bytes and attributes of its source, or attributes of its own', async () => {
    await using own = await stage()
    await own.api.upload('a/from', 'body', { contentType: 'text/plain', metadata: { a: '1' } })
    const copied = await own.api.copy('a/from', 'b/to ü+')
    assert.deepEqual([copied.key, copied.size], ['b/to ü+', 4])
    assert.equal(await (await own.api.download('b/to ü+')).text(), 'body')
    const same = await own.api.head('b/to ü+')
    assert.deepEqual([same.contentType, { ...same.metadata }], ['text/plain', { a: '1' }])
    await own.api.copy('a/from', 'other', { contentType: 'text/html', metadata: { b: '2' } })
    const other = await own.api.head('other')
    assert.deepEqual({ ...other.metadata }, { b: '2' })
    // S3Mock keeps the type of the source.
    if (!own.mock) assert.equal(other.contentType, 'text/html')
    assert.equal(await own.api.exists('a/from'), true)
  })

  it('ifAbsent refuses where there is an object already', async () => {
    await using own = await stage()
    await own.api.upload('key', 'first', { ifAbsent: true })
    await assert.rejects(own.api.upload('key', 'second', { ifAbsent: true }), { code: 'SLUICE_CONFLICT' })
    assert.equal(await (await own.api.download('key')).text(), 'first')
    await own.api.delete('key')
    await own.api.upload('key', 'third', { ifAbsent: true })
    assert.equal(await (await own.api.download('key')).text(), 'third')
  })

  it('who reads while an object is replaced reads all of one of them', async (test) => {
    await using own = await stage()
    if (own.mock) return test.skip('S3Mock writes over the file that it is sending')
    const bodies = ['a', 'b', 'c'].map((letter) => letter.repeat(200_000))
    await own.api.upload('key', bodies[0]!)
    const writing = (async () => {
      for (let round = 0; round < 12; round++) await own.api.upload('key', bodies[round % 3]!)
    })()
    const reading = Array.from({ length: 4 }, async () => {
      for (let round = 0; round < 10; round++)
        assert.ok(bodies.includes(await (await own.api.download('key')).text()))
    })
    await Promise.all([writing, ...reading])
  })
}
