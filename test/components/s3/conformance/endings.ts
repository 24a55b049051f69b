/** How what is under way ends: by abort, by its own clock, by the close of the component. */
import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { it } from 'node:test'
import { ManualClock } from '../../../../src/testing/manual-clock.ts'
import type { StageFactory } from '../conformance.ts'
import { patterned } from '../support.ts'

const PART = 5 * 1024 * 1024

/** A stream that gives what it is given, and tells when it is asked for more. */
class Tap extends Readable {
  readonly asked: Promise<void>
  readonly #asked = Promise.withResolvers<void>()
  #left: Buffer[]

  constructor(...chunks: Buffer[]) {
    super({ highWaterMark: 1 })
    this.#left = chunks
    this.asked = this.#asked.promise
  }

  override _read(): void {
    const chunk = this.#left.shift()
    if (chunk === undefined) this.#asked.resolve()
    else this.push(chunk)
  }
}

export function endingsConformance(stage: StageFactory): void {
  it('an upload that is aborted between its parts rejects with the reason, and stores nothing', async () => {
    await using own = await stage()
    const source = new Tap(patterned(PART), patterned(PART), patterned(100))
    const controller = new AbortController()
    const reason = new Error('changed my mind')
    const uploading = own.api.upload('key', source, { partSize: PART, signal: controller.signal })
    await source.asked
    controller.abort(reason)
    await assert.rejects(uploading, reason)
    assert.equal(source.destroyed, true)
    assert.equal(await own.api.exists('key'), false)
  })

  it('a cancelled upload stores nothing', async () => {
    await using own = await stage()
    const source = new Tap(patterned(100))
    const uploading = own.api.upload('key', source)
    await source.asked
    assert.equal(uploading.cancel(), true)
    await assert.rejects(uploading, { code: 'SLUICE_CANCELLED' })
    assert.equal(await own.api.exists('key'), false)
  })

  it('an upload with an aborted signal takes nothing from its stream and destroys it', async () => {
    await using own = await stage()
    const reason = new Error('changed my mind')
    const source = new Tap(patterned(100))
    await assert.rejects(own.api.upload('key', source, { signal: AbortSignal.abort(reason) }), reason)
    assert.equal(source.destroyed, true)
  })

  it('a stream that gives nothing is given up after its idle time', async () => {
    const clock = new ManualClock()
    await using own = await stage({ idleTimeout: '10s', requestTimeout: '10m' }, { clock })
    const source = new Tap(patterned(100))
    const uploading = own.api.upload('key', source)
    const rejected = assert.rejects(uploading, { code: 'SLUICE_TIMEOUT', component: 's3' })
    await source.asked
    await clock.advance(11_000)
    await rejected
    assert.equal(source.destroyed, true)
  })

  it('a body that nobody reads is destroyed after its idle time, and its place is free again', async () => {
    const clock = new ManualClock()
    await using own = await stage({ maxDownloads: 1, idleTimeout: '10s', requestTimeout: '10m' }, { clock })
    await own.api.upload('key', patterned(1_000_000))
    const unread = await own.api.download('key')
    const second = own.api.download('key')
    const closed = new Promise((resolve) => unread.body.once('close', resolve))
    await clock.advance(11_000)
    await closed
    await assert.rejects(unread.bytes(), { code: 'SLUICE_TIMEOUT' })
    assert.equal((await (await second).bytes()).length, 1_000_000)
  })

  it('a body that is destroyed gives its place to the next', async () => {
    await using own = await stage({ maxDownloads: 1 })
    await own.api.upload('key', patterned(1_000_000))
    for (let round = 0; round < 5; round++) {
      await using download = await own.api.download('key')
      assert.equal(download.length, 1_000_000)
    }
    const half = await own.api.download('key')
    for await (const _ of half.body) break
    const last = await own.api.download('key')
    assert.equal((await last.bytes()).length, 1_000_000)
  })

  it('an abort ends a body that is being read', async () => {
    await using own = await stage()
    await own.api.upload('key', patterned(1_000_000))
    const controller = new AbortController()
    const download = await own.api.download('key', { signal: controller.signal })
    const reason = new Error('changed my mind')
    controller.abort(reason)
    await assert.rejects(download.bytes(), reason)
  })

  it('a body that was read or destroyed cannot be read again', async () => {
    await using own = await stage()
    await own.api.upload('key', 'x')
    const read = await own.api.download('key')
    await read.bytes()
    await assert.rejects(read.bytes(), { code: 'SLUICE_CLOSED' })
    const destroyed = await own.api.download('key')
    destroyed.destroy()
    await assert.rejects(destroyed.bytes(), { code: 'SLUICE_CLOSED' })
  })

  it('close ends uploads and bodies with SLUICE_CLOSED', async () => {
    await using own = await stage()
    await own.api.upload('key', patterned(1_000_000))
    const download = await own.api.download('key')
    const source = new Tap(patterned(PART), patterned(PART))
    const uploading = assert.rejects(own.api.upload('half', source, { partSize: PART }), {
      code: 'SLUICE_CLOSED',
    })
    await source.asked
    await own.open.close()
    await uploading
    assert.equal(source.destroyed, true)
    await assert.rejects(download.bytes(), { code: 'SLUICE_CLOSED' })
  })

  it('more uploads than may wait are refused, and their streams destroyed', async () => {
    await using own = await stage({ maxUploads: 1, maxWaiting: 0 })
    const source = new Tap(patterned(10))
    const running = own.api.upload('key', source)
    await source.asked
    const refused = new Tap(patterned(10))
    await assert.rejects(own.api.upload('other', refused), { code: 'SLUICE_POOL_FULL' })
    assert.equal(refused.destroyed, true)
    source.push(null)
    assert.equal((await running).size, 10)
  })
}
