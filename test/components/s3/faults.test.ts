/** A bad network between us and the service. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import { createApp, silentLogger } from '../../../src/index.ts'
import { s3, type S3Options } from '../../../src/components/s3/index.ts'
import { isSluiceError } from '../../../src/core/errors.ts'
import { connectComponent, type OpenComponent } from '../../../src/testing/connect-component.ts'
import type { FaultProxy } from '../../../src/testing/fault-proxy.ts'
import type { S3 } from '../../../src/components/s3/index.ts'
import { eventually } from '../../support/eventually.ts'
import { clean, missingService, onService, patterned, proxied, uploadsLeft } from './support.ts'

const skip = await missingService()
const options = { skip, timeout: 120_000 }
const PART = 5 * 1024 * 1024

interface Behind extends AsyncDisposable {
  readonly proxy: FaultProxy
  readonly open: OpenComponent<S3>
  readonly api: S3
  readonly prefix: string
}

/** A component behind a proxy, with keys of its own. */
async function behindProxy(more: S3Options = {}): Promise<Behind> {
  const { proxy, endpoint } = await proxied()
  const all = onService({ endpoint, ...more })
  const open = await connectComponent(s3(all))
  const prefix = all.keyPrefix ?? ''
  return {
    proxy,
    open,
    api: open.api,
    prefix,
    async [Symbol.asyncDispose]() {
      proxy.heal()
      await proxy.accept()
      await open.close()
      await proxy.close()
      await clean(prefix)
    },
  }
}

/** A stream that gives `first`, tells when it is asked for more, and then gives what it is told to. */
function held(first: Buffer): { readonly stream: Readable; readonly asked: Promise<void> } {
  const asked = Promise.withResolvers<void>()
  let given = false
  const stream = new Readable({
    highWaterMark: 1,
    read() {
      if (given) asked.resolve()
      else this.push(first)
      given = true
    },
  })
  return { stream, asked: asked.promise }
}

test(
  'a network that is cut without a word is met by the deadline, and after it heals all works',
  options,
  async () => {
    await using own = await behindProxy()
    await own.api.upload('key', 'x')
    own.proxy.blackhole()
    const calls: readonly (() => PromiseLike<unknown>)[] = [
      () => own.api.head('key', { timeout: 300 }),
      () => own.api.upload('key', 'y', { timeout: 300 }),
      () => own.api.download('key', { timeout: 300 }),
    ]
    for (const call of calls) await assert.rejects(Promise.resolve(call()), { code: 'SLUICE_TIMEOUT' })
    await assert.rejects(own.open.check(AbortSignal.timeout(500)))
    own.proxy.heal()
    own.proxy.reset()
    await own.open.check()
    assert.equal((await own.api.head('key')).size, 1)
  },
)

test('a service that refuses connections is SLUICE_UNAVAILABLE until it is back', options, async () => {
  await using own = await behindProxy({ maxRetries: 0 })
  await own.proxy.refuse()
  own.proxy.reset()
  await assert.rejects(Promise.resolve(own.api.head('key')), { code: 'SLUICE_UNAVAILABLE', retryable: true })
  await own.proxy.accept()
  await own.api.upload('key', 'x')
  assert.equal((await own.api.head('key')).size, 1)
})

test(
  'a download that is cut on its way is SLUICE_UNAVAILABLE, one that freezes is SLUICE_TIMEOUT',
  options,
  async () => {
    await using own = await behindProxy()
    const bytes = patterned(4_000_000)
    await own.api.upload('key', bytes)
    for (const [fault, code] of [
      [() => own.proxy.reset(), 'SLUICE_UNAVAILABLE'],
      [() => own.proxy.blackhole('down'), 'SLUICE_TIMEOUT'],
    ] as const) {
      const download = await own.api.download('key', { idleTimeout: '3s' })
      const reader = download.body[Symbol.asyncIterator]()
      await reader.next()
      fault()
      await assert.rejects(
        (async () => {
          while ((await reader.next()).done !== true);
        })(),
        { code },
      )
      own.proxy.heal()
      own.proxy.reset()
      await own.open.check()
    }
    assert.ok((await (await own.api.download('key')).bytes()).equals(bytes))
  },
)

test('an upload whose connections are cut sends its parts again', options, async () => {
  await using own = await behindProxy({ maxRetries: 3 })
  const bytes = patterned(2 * PART + 7)
  let cuts = 2
  own.proxy.intercept((chunk) => {
    if (!chunk.subarray(0, 1_000).includes('partNumber=') || cuts === 0) return chunk
    cuts--
    return 'reset'
  }, 'up')
  await own.api.upload('key', bytes, { partSize: PART })
  assert.equal(cuts, 0)
  own.proxy.heal()
  assert.ok((await (await own.api.download('key')).bytes()).equals(bytes))
  assert.equal(await uploadsLeft(own.prefix), 0)
})

test('an upload that cannot go on leaves no parts behind', options, async () => {
  await using own = await behindProxy({ maxRetries: 0 })
  // The second part never arrives; all else does.
  own.proxy.intercept((chunk) => (chunk.subarray(0, 1_000).includes('partNumber=2') ? 'reset' : chunk), 'up')
  await assert.rejects(Promise.resolve(own.api.upload('key', patterned(3 * PART), { partSize: PART })), {
    code: 'SLUICE_UNAVAILABLE',
  })
  assert.equal(await uploadsLeft(own.prefix), 0)
  assert.equal(await own.api.exists('key'), false)
})

test('parts that cannot be aborted as the service is away are aborted when it is back', options, async () => {
  await using own = await behindProxy({ maxRetries: 0 })
  const { stream } = held(patterned(2 * PART))
  // A part was taken, so that the name of the upload has arrived.
  const taken = Promise.withResolvers<void>()
  const uploading = own.api.upload('key', stream, {
    partSize: PART,
    idleTimeout: '1m',
    onProgress: () => taken.resolve(),
  })
  await taken.promise
  await own.proxy.refuse()
  own.proxy.reset()
  stream.destroy(new Error('the source broke'))
  await assert.rejects(Promise.resolve(uploading), /the source broke|SLUICE|ECONN|reset/i)
  assert.equal(await uploadsLeft(own.prefix), 1)
  assert.equal(own.api.status()['leftBehind'], 1)
  await own.proxy.accept()
  await own.open.check()
  assert.equal(await uploadsLeft(own.prefix), 0)
  assert.equal(own.api.status()['leftBehind'], 0)
})

test('an abort and the close of the component leave no parts behind', options, async () => {
  await using own = await behindProxy()
  const controller = new AbortController()
  const first = held(patterned(3 * PART))
  const second = held(patterned(3 * PART))
  const aborted = own.api.upload('a', first.stream, { partSize: PART, signal: controller.signal })
  const closed = own.api.upload('b', second.stream, { partSize: PART })
  const settled = Promise.allSettled([aborted, closed])
  await Promise.all([first.asked, second.asked])
  await eventually(async () => ((await uploadsLeft(own.prefix)) === 2 ? true : undefined))
  const reason = new Error('changed my mind')
  controller.abort(reason)
  await assert.rejects(Promise.resolve(aborted), reason)
  await eventually(async () => ((await uploadsLeft(own.prefix)) === 1 ? true : undefined))
  await own.open.close()
  assert.equal(await uploadsLeft(own.prefix), 0)
  await settled
})

test('a completion whose answer is lost is found to have happened', options, async () => {
  await using own = await behindProxy({ maxRetries: 2 })
  const completing = new Set<unknown>()
  let lost = 0
  own.proxy.intercept((chunk, way) => {
    if (way === 'up' && /^POST [^ ]*uploadId=/.test(chunk.subarray(0, 1_000).toString('latin1')))
      completing.add(1)
    if (way === 'down' && completing.size > 0 && lost === 0) {
      lost++
      return 'reset'
    }
    return chunk
  })
  const bytes = patterned(PART + 5)
  const stored = await own.api.upload('key', bytes, { partSize: PART, partConcurrency: 1 })
  assert.equal(lost, 1)
  own.proxy.heal()
  assert.equal((await own.api.head('key')).etag, stored.etag)
  assert.equal(await uploadsLeft(own.prefix), 0)
})

test('answers in single bytes are put together', options, async () => {
  await using own = await behindProxy()
  await own.api.upload('key', 'in pieces')
  own.proxy.slice(1, { direction: 'down' })
  assert.equal(await (await own.api.download('key')).text(), 'in pieces')
  assert.equal((await Array.fromAsync(own.api.list())).length, 1)
})

// A byte of a body is found by its checksum (replies.test.ts), unless the header that holds it was hit.
test('garbage in answers is an error of ours or harmless', options, async () => {
  await using own = await behindProxy({ maxRetries: 0, requestTimeout: '2s', idleTimeout: '2s' })
  await own.api.upload('key', patterned(20_000), { timeout: '30s' })
  own.proxy.corrupt({ every: 700 })
  for (let round = 0; round < 30; round++) {
    const results = await Promise.allSettled([
      own.api.download('key').then((download) => download.bytes()),
      own.api.head('key'),
      own.api.list().pages().next(),
    ])
    for (const result of results)
      if (result.status === 'rejected') assert.ok(isSluiceError(result.reason), String(result.reason))
  }
  own.proxy.heal()
  own.proxy.reset()
  await eventually(() =>
    own.open.check().then(
      () => true,
      () => undefined,
    ),
  )
})

test('connections that are reset again and again leave nothing open', options, async () => {
  await using own = await behindProxy({ maxRetries: 0 })
  await own.api.upload('key', patterned(300_000))
  for (let round = 0; round < 100; round++) {
    const calls = [own.api.head('key'), own.api.download('key').then((download) => download.bytes())]
    own.proxy.reset()
    await Promise.allSettled(calls)
  }
  await own.open.check()
  assert.deepEqual(own.api.status()['downloads'], { open: 0, waiting: 0 })
  assert.ok(own.proxy.counts.open <= 10, `${own.proxy.counts.open} connections`)
})

test('an app listens while the service is absent, and serves when it has come', options, async () => {
  const { proxy, endpoint } = await proxied()
  await proxy.refuse()
  const all = onService({ endpoint })
  const app = createApp({
    name: 'absent',
    port: 0,
    host: '127.0.0.1',
    logger: silentLogger,
    components: { files: s3(all) },
  })
  app.service('files', ({ files, http }) => {
    http.get('/there', () => files.exists('key'))
  })
  await app.start()
  try {
    const url = `${app.address.url}/there`
    assert.equal((await fetch(url)).status, 503)
    await proxy.accept()
    const answer = await eventually(async () => {
      const response = await fetch(url)
      const text = await response.text()
      return response.status === 200 ? text : undefined
    })
    assert.equal(answer, 'false')
  } finally {
    await app.stop()
    await proxy.close()
  }
})

test('what a killed process has left is swept, and what is younger is not', options, async () => {
  const all = onService()
  const prefix = all.keyPrefix ?? ''
  const program = spawn(
    process.execPath,
    ['--conditions=sluice-source', join(import.meta.dirname, 'uploading-program.ts')],
    {
      env: { ...process.env, UPLOAD: JSON.stringify(all) },
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  )
  await once(program.stdout, 'data')
  program.kill('SIGKILL')
  await once(program, 'exit')
  await using open = await connectComponent(s3(all))
  assert.equal(await uploadsLeft(prefix), 1)
  assert.equal(await open.api.sweep({ olderThan: '1h' }), 0)
  assert.equal(await uploadsLeft(prefix), 1)
  assert.equal(await open.api.sweep({ olderThan: 0 }), 1)
  assert.equal(await uploadsLeft(prefix), 0)
})
