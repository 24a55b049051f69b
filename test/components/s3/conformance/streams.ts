import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { it } from 'node:test'
import type { Progress } from '../../../../src/components/s3/index.ts'
import type { StageFactory } from '../conformance.ts'
import { ownDirectory, patterned } from '../support.ts'

const PART = 5 * 1024 * 1024

async function* pieces(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}

const sum = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

export function streamsConformance(stage: StageFactory): void {
  it('a stream of unknown length is stored in parts, with its attributes', async () => {
    await using own = await stage()
    const bytes = patterned(2 * PART + 12_345)
    const seen: Progress[] = []
    const stored = await own.api.upload('big', pieces(bytes, 100_003), {
      partSize: PART,
      partConcurrency: 2,
      contentType: 'video/mp4',
      metadata: { a: '1' },
      onProgress: (progress) => seen.push(progress),
    })
    assert.equal(stored.size, bytes.length)
    const info = await own.api.head('big')
    assert.deepEqual(
      [info.size, info.contentType, { ...info.metadata }],
      [bytes.length, 'video/mp4', { a: '1' }],
    )
    assert.equal(info.etag, stored.etag)
    assert.equal(sum(await (await own.api.download('big')).bytes()), sum(bytes))
    assert.deepEqual(seen.at(-1), { bytes: bytes.length, total: undefined })
    assert.ok(seen.every(({ bytes: at }, index) => index === 0 || at > seen[index - 1]!.bytes))
  })

  it('lengths around the size of a part are stored to the byte', async () => {
    await using own = await stage()
    for (const length of [0, 1, PART - 1, PART, PART + 1, 2 * PART]) {
      const bytes = patterned(length)
      const stored = await own.api.upload('key', pieces(bytes, 1_000_000), { partSize: PART })
      assert.equal(stored.size, length)
      assert.equal(sum(await (await own.api.download('key')).bytes()), sum(bytes))
    }
  })

  it('bytes at hand that are larger than a part go in parts as well', async () => {
    await using own = await stage()
    const bytes = patterned(PART + 10)
    const seen: Progress[] = []
    await own.api.upload('key', bytes, { partSize: PART, onProgress: (progress) => seen.push(progress) })
    assert.equal(sum(await (await own.api.download('key')).bytes()), sum(bytes))
    assert.deepEqual(seen.at(-1), { bytes: bytes.length, total: bytes.length })
  })

  it('streams of Node, of the web, of files and of text are taken', async () => {
    await using own = await stage()
    const { path, remove } = await ownDirectory()
    try {
      const file = join(path, 'file')
      await writeFile(file, 'from a file')
      const web = new ReadableStream<Uint8Array>({
        start(controller) {
          controller.enqueue(Buffer.from('from '))
          controller.enqueue(Buffer.from('the web'))
          controller.close()
        },
      })
      for (const [body, text] of [
        [Readable.from([Buffer.from('from '), Buffer.from('Node')]), 'from Node'],
        [web, 'from the web'],
        [createReadStream(file), 'from a file'],
        [Readable.from(['tëxt ', '', 'in pieces']), 'tëxt in pieces'],
      ] as const) {
        await own.api.upload('key', body)
        assert.equal(await (await own.api.download('key')).text(), text)
      }
    } finally {
      await remove()
    }
  })

  it('a stream that is not as long as was said is refused, and nothing is stored', async () => {
    await using own = await stage()
    for (const size of [9, 11])
      await assert.rejects(own.api.upload('key', pieces(patterned(10), 3), { size }), {
        code: 'SLUICE_INVALID_ARGUMENT',
      })
    await assert.rejects(own.api.upload('key', 'text', { size: 3 }), { code: 'SLUICE_INVALID_ARGUMENT' })
    assert.equal(await own.api.exists('key'), false)
    await own.api.upload('key', pieces(patterned(10), 3), { size: 10 })
    assert.equal((await own.api.head('key')).size, 10)
  })

  it('a stream that fails fails the upload with its error, and what was there before stays', async () => {
    await using own = await stage()
    await own.api.upload('key', 'before')
    const failure = new Error('the source broke')
    const broken = async function* (): AsyncGenerator<Buffer> {
      yield patterned(PART)
      yield patterned(PART)
      throw failure
    }
    await assert.rejects(own.api.upload('key', broken(), { partSize: PART }), failure)
    const stream = new Readable({ read() {} })
    stream.push(patterned(100))
    const uploading = own.api.upload('key', stream)
    stream.destroy(failure)
    await assert.rejects(uploading, failure)
    // S3Mock takes the object away when an upload of its key is aborted.
    if (own.mock) return
    assert.equal(await (await own.api.download('key')).text(), 'before')
    assert.deepEqual(await Array.fromAsync(own.api.list(), ({ key }) => key), ['key'])
  })

  it('what is no bytes in a stream is refused', async () => {
    await using own = await stage()
    await assert.rejects(own.api.upload('key', Readable.from([Buffer.from('a'), { b: 1 }]) as never), {
      code: 'SLUICE_INVALID_ARGUMENT',
    })
    assert.equal(await own.api.exists('key'), false)
  })

  it('a body is read as a stream, in order and to its end', async () => {
    await using own = await stage()
    const bytes = patterned(3_000_001)
    await own.api.upload('key', bytes)
    const download = await own.api.download('key')
    const hash = createHash('sha256')
    let length = 0
    for await (const chunk of download.body as AsyncIterable<Buffer>) {
      hash.update(chunk)
      length += chunk.length
    }
    assert.deepEqual([length, hash.digest('hex')], [bytes.length, sum(bytes)])
    assert.equal(own.api.status()['downloads'] && (own.api.status()['downloads'] as { open: number }).open, 0)
  })

  it('one object is piped into another', async () => {
    await using own = await stage()
    const bytes = patterned(PART + 77)
    await own.api.upload('from', bytes, { partSize: PART })
    await own.api.upload('to', (await own.api.download('from')).body, { partSize: PART })
    assert.equal(sum(await (await own.api.download('to')).bytes()), sum(bytes))
  })

  it('a body that is larger than allowed is refused before it is read', async () => {
    await using own = await stage()
    await own.api.upload('key', patterned(2_000))
    await assert.rejects((await own.api.download('key')).bytes({ maxBytes: '1kb' }), {
      code: 'SLUICE_TOO_LARGE',
    })
    assert.equal((await (await own.api.download('key')).bytes({ maxBytes: 2_000 })).length, 2_000)
  })

  it('a callback for progress that throws does the upload no harm', async () => {
    await using own = await stage()
    const onProgress = (): void => {
      throw new Error('cannot draw')
    }
    await own.api.upload('key', 'text', { onProgress })
    await own.api.upload('stream', pieces(patterned(10), 3), { onProgress })
    assert.equal((await own.api.head('stream')).size, 10)
  })
}
