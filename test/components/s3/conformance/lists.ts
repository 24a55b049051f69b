import assert from 'node:assert/strict'
import { it } from 'node:test'
import type { ListPage, S3 } from '../../../../src/components/s3/index.ts'
import type { StageFactory } from '../conformance.ts'

/** In the order of their bytes. */
const KEYS = [
  'a',
  'a!',
  'a-b',
  'a.txt',
  'a/',
  'a/b',
  'a/b/c',
  'a/b0',
  'a0',
  'b/1',
  'b/2',
  'b/3',
  'c',
] as const

const keysOf = (pages: readonly ListPage[]): string[] =>
  pages.flatMap(({ objects }) => objects.map(({ key }) => key))
const prefixesOf = (pages: readonly ListPage[]): string[] => pages.flatMap(({ prefixes }) => prefixes)

async function fill(api: S3): Promise<void> {
  await api.uploadBatch(KEYS.map((key) => ({ key, body: key }))).waitAll()
}

export function listsConformance(stage: StageFactory): void {
  it('a list has all keys in the order of their bytes, whatever the size of a page', async () => {
    await using own = await stage()
    await fill(own.api)
    for (const pageSize of [1, 2, 5, 1_000]) {
      const pages = await Array.fromAsync(own.api.list({ pageSize }).pages())
      assert.deepEqual(keysOf(pages), KEYS)
      assert.ok(pages.every(({ objects }) => objects.length <= pageSize))
    }
    const [first] = await Array.fromAsync(own.api.list({ prefix: 'a/b/c' }))
    assert.deepEqual(
      { ...first, lastModified: undefined, etag: undefined },
      { key: 'a/b/c', size: 5, lastModified: undefined, etag: undefined },
    )
    assert.equal(first?.etag, (await own.api.head('a/b/c')).etag)
  })

  it('a prefix selects, whether it ends in a slash or not', async () => {
    await using own = await stage()
    await fill(own.api)
    for (const prefix of ['a', 'a/', 'a/b', 'b/', 'b/2', 'c', 'nothing', 'c/'])
      assert.deepEqual(
        await Array.fromAsync(own.api.list({ prefix, pageSize: 3 }), ({ key }) => key),
        KEYS.filter((key) => key.startsWith(prefix)),
      )
  })

  it('a list begins behind a key, which need not be there', async () => {
    await using own = await stage()
    await fill(own.api)
    for (const after of ['a', 'a/', 'a/a', 'a/b/zzz', 'b', 'c', 'zzz'])
      assert.deepEqual(
        await Array.fromAsync(own.api.list({ after, pageSize: 4 }), ({ key }) => key),
        KEYS.filter((key) => Buffer.compare(Buffer.from(key), Buffer.from(after)) > 0),
      )
  })

  it('with a delimiter what is below is one prefix, page by page too', async () => {
    await using own = await stage()
    await fill(own.api)
    // S3Mock gives prefixes again on each page.
    for (const pageSize of own.mock ? [1_000] : [1, 2, 1_000]) {
      const top = await Array.fromAsync(own.api.list({ delimiter: '/', pageSize }).pages())
      assert.deepEqual(keysOf(top), ['a', 'a!', 'a-b', 'a.txt', 'a0', 'c'])
      assert.deepEqual(prefixesOf(top), ['a/', 'b/'])
      const below = await Array.fromAsync(own.api.list({ delimiter: '/', prefix: 'a/', pageSize }).pages())
      assert.deepEqual(keysOf(below), ['a/', 'a/b', 'a/b0'])
      assert.deepEqual(prefixesOf(below), ['a/b/'])
    }
  })

  it('the objects alone are iterated; leaving early asks for no more', async () => {
    await using own = await stage()
    await fill(own.api)
    const seen: string[] = []
    for await (const { key } of own.api.list({ pageSize: 2 })) {
      seen.push(key)
      if (seen.length === 3) break
    }
    assert.deepEqual(seen, KEYS.slice(0, 3))
  })

  it('a list of nothing is empty', async () => {
    await using own = await stage()
    assert.deepEqual(await Array.fromAsync(own.api.list()), [])
    assert.deepEqual(await Array.fromAsync(own.api.list({ delimiter: '/' }).pages()), [
      { objects: [], prefixes: [] },
    ])
  })

  it('an aborted list rejects with the reason', async () => {
    await using own = await stage()
    await fill(own.api)
    const controller = new AbortController()
    const pages = own.api.list({ pageSize: 1, signal: controller.signal }).pages()
    await pages.next()
    const reason = new Error('enough')
    controller.abort(reason)
    await assert.rejects(pages.next(), reason)
  })
}
