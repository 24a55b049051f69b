/** What a service may answer instead of what was asked for. */
import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { test } from 'node:test'
import { inspect } from 'node:util'
import { s3 } from '../../../src/components/s3/index.ts'
import type { ErrorCode, SluiceError } from '../../../src/core/errors.ts'
import { connectComponent } from '../../../src/testing/connect-component.ts'
import { drained, fakeService, refuse } from './fake-service.ts'
import { patterned } from './support.ts'

const PART = 5 * 1024 * 1024
const limit = { timeout: 60_000 }

const READINGS: readonly [number, string, ErrorCode, boolean][] = [
  [404, 'NoSuchKey', 'SLUICE_NOT_FOUND', false],
  [404, 'NoSuchBucket', 'SLUICE_UNAVAILABLE', true],
  [403, 'AccessDenied', 'SLUICE_AUTH', false],
  [403, 'InvalidAccessKeyId', 'SLUICE_AUTH', false],
  [403, 'SignatureDoesNotMatch', 'SLUICE_AUTH', false],
  [403, 'RequestTimeTooSkewed', 'SLUICE_AUTH', true],
  [400, 'ExpiredToken', 'SLUICE_AUTH', true],
  [403, 'SomethingNew', 'SLUICE_AUTH', false],
  [503, 'SlowDown', 'SLUICE_OVERLOADED', true],
  [503, 'ServiceUnavailable', 'SLUICE_OVERLOADED', true],
  [429, 'TooManyRequests', 'SLUICE_OVERLOADED', true],
  [500, 'InternalError', 'SLUICE_UNAVAILABLE', true],
  [502, 'BadGateway', 'SLUICE_UNAVAILABLE', true],
  [400, 'RequestTimeout', 'SLUICE_TIMEOUT', true],
  [400, 'BadDigest', 'SLUICE_UNAVAILABLE', true],
  [400, 'EntityTooLarge', 'SLUICE_TOO_LARGE', false],
  [400, 'InvalidRequest', 'SLUICE_INVALID_ARGUMENT', false],
  [412, 'PreconditionFailed', 'SLUICE_CONFLICT', false],
  [409, 'OperationAborted', 'SLUICE_CONFLICT', true],
  [501, 'NotImplemented', 'SLUICE_UNSUPPORTED', false],
  [301, 'PermanentRedirect', 'SLUICE_CONFIG', false],
]

test(
  'each refusal is one of our codes, with the code of the service and nothing of the key',
  limit,
  async () => {
    await using fake = await fakeService()
    await using open = await connectComponent(s3(fake.options))
    for (const [status, reply, code, retryable] of READINGS) {
      fake.answer = async (request, response) => {
        await drained(request)
        refuse(response, status, reply, '<AWSAccessKeyId>canary-key-4711</AWSAccessKeyId>')
      }
      await assert.rejects(Promise.resolve(open.api.upload('key', 'x')), (error: SluiceError) => {
        assert.deepEqual([reply, error.code, error.retryable], [reply, code, retryable])
        assert.deepEqual(error.details, { reply, status, requestId: 'request-7' })
        assert.equal(error.component, 's3')
        assert.doesNotMatch(inspect(error, { depth: 10, showHidden: true }), /canary/)
        return true
      })
    }
  },
)

test('a refusal that may pass is asked again, and a part of an upload too', limit, async () => {
  await using fake = await fakeService()
  await using open = await connectComponent(s3({ ...fake.options, maxRetries: 2 }))
  let refusals = 1
  fake.answer = async (request, response) => {
    await drained(request)
    if (refusals-- > 0) return refuse(response, 503, 'SlowDown')
    response.setHeader('etag', '"0123456789abcdef0123456789abcdef"')
    if (request.url?.includes('uploads')) {
      response.end('<InitiateMultipartUploadResult><UploadId>one</UploadId></InitiateMultipartUploadResult>')
    } else if (request.method === 'POST') {
      response.end('<CompleteMultipartUploadResult><ETag>"done-2"</ETag></CompleteMultipartUploadResult>')
    } else response.end()
    // Each part is refused once.
    if (request.url?.includes('uploads')) refusals = 1
  }
  assert.equal((await open.api.upload('key', 'x')).size, 1)
  const stored = await open.api.upload('key', patterned(PART + 1), { partSize: PART, partConcurrency: 1 })
  assert.equal(stored.etag, 'done-2')
  assert.equal(fake.requests.filter((line) => line.includes('partNumber=1')).length, 2)
})

test('what is no answer of S3 is SLUICE_UNAVAILABLE', limit, async () => {
  await using fake = await fakeService()
  await using open = await connectComponent(s3(fake.options))
  for (const body of ['<html>bad gateway</html>', '', '\0\xff', '<Error><Code>', '{"error":1}'])
    for (const status of [500, 502, 504]) {
      fake.answer = (_request, response) => void response.writeHead(status).end(body)
      await assert.rejects(Promise.resolve(open.api.list().pages().next()), { code: 'SLUICE_UNAVAILABLE' })
    }
  fake.answer = (request) => void request.socket.destroy()
  await assert.rejects(Promise.resolve(open.api.head('key')), { code: 'SLUICE_UNAVAILABLE', retryable: true })
})

test(
  'a completion that says 200 and then an error has failed, and the upload is aborted',
  limit,
  async () => {
    await using fake = await fakeService()
    await using open = await connectComponent(s3(fake.options))
    fake.answer = async (request, response) => {
      await drained(request)
      if (request.url?.includes('uploads'))
        response.end(
          '<InitiateMultipartUploadResult><UploadId>one</UploadId></InitiateMultipartUploadResult>',
        )
      else if (request.method === 'POST') refuse(response, 200, 'InternalError')
      else response.writeHead(request.method === 'DELETE' ? 204 : 200, { etag: '"a"' }).end()
    }
    await assert.rejects(Promise.resolve(open.api.upload('key', patterned(PART + 1), { partSize: PART })), {
      code: 'SLUICE_UNAVAILABLE',
    })
    assert.match(fake.requests.at(-1) ?? '', /^DELETE \/bucket\/key\?.*uploadId=one/)
  },
)

test(
  'a body that is shorter than it was said to be is an error, and so is one that is longer',
  limit,
  async () => {
    await using fake = await fakeService()
    await using open = await connectComponent(s3(fake.options))
    fake.answer = (_request, response) => {
      response.writeHead(200, { 'content-length': 1_000 })
      response.write(patterned(600), () => response.destroy())
    }
    const half = await open.api.download('key')
    await assert.rejects(half.bytes(), { code: 'SLUICE_UNAVAILABLE', retryable: true })
    fake.answer = (_request, response) =>
      void response.writeHead(206, { 'content-range': 'bytes 0-9/1000' }).end(patterned(20))
    const long = await open.api.download('key', { range: { start: 0, end: 9 } })
    await assert.rejects(long.bytes(), { code: 'SLUICE_UNAVAILABLE' })
  },
)

test('a body whose checksum does not fit is an error', limit, async () => {
  await using fake = await fakeService()
  await using open = await connectComponent(s3(fake.options))
  fake.answer = (_request, response) =>
    void response.writeHead(200, { 'content-length': 5, 'x-amz-checksum-crc32': 'AAAAAA==' }).end('hello')
  const download = await open.api.download('key')
  await assert.rejects(download.bytes(), { code: 'SLUICE_UNAVAILABLE', retryable: true })
})

test(
  "a body that goes on for ever at a crawl is the reader's to end; one that stands still is ended",
  limit,
  async () => {
    await using fake = await fakeService()
    await using open = await connectComponent(s3(fake.options))
    const gone = Promise.withResolvers<void>()
    fake.answer = (_request, response) => {
      response.writeHead(200, { 'content-length': 1_000_000 })
      response.write('a')
      response.once('close', () => gone.resolve())
    }
    const download = await open.api.download('key', { idleTimeout: '200ms' })
    await assert.rejects(download.bytes(), { code: 'SLUICE_TIMEOUT' })
    // Its connection is closed, not given to the next request with the rest of the body in it.
    await gone.promise
    assert.deepEqual(open.api.status()['downloads'], { open: 0, waiting: 0 })
  },
)

test('a service that answers nothing is met by the deadline, and its requests are ended', limit, async () => {
  await using fake = await fakeService()
  await using open = await connectComponent(s3({ ...fake.options, requestTimeout: '300ms' }))
  const gone = Promise.withResolvers<void>()
  fake.answer = (request) => void request.once('close', () => gone.resolve())
  await assert.rejects(Promise.resolve(open.api.head('key')), { code: 'SLUICE_TIMEOUT', operation: 'head' })
  await gone.promise
  const calls: readonly (() => PromiseLike<unknown>)[] = [
    () => open.api.download('key'),
    () => open.api.delete('key'),
    () => open.api.copy('a', 'b', { timeout: 300 }),
  ]
  for (const call of calls) await assert.rejects(Promise.resolve(call()), { code: 'SLUICE_TIMEOUT' })
})

test('a part of which nothing moves is given up, and the upload is aborted', limit, async () => {
  await using fake = await fakeService()
  await using open = await connectComponent(s3({ ...fake.options, idleTimeout: '2s' }))
  fake.answer = (request, response) => {
    // The body is not read: buffers fill, and then nothing moves any more.
    if (request.method === 'PUT') return
    if (request.method === 'DELETE') return void response.writeHead(204).end()
    response.end('<InitiateMultipartUploadResult><UploadId>one</UploadId></InitiateMultipartUploadResult>')
  }
  const big = Readable.from([patterned(3 * PART)])
  await assert.rejects(
    Promise.resolve(open.api.upload('key', big, { partSize: 3 * PART - 1, idleTimeout: '1m' })),
    { code: 'SLUICE_TIMEOUT' },
  )
  assert.match(fake.requests.at(-1) ?? '', /^DELETE/)
})

test('sockets stay below what was configured, whatever is asked for at once', limit, async () => {
  await using fake = await fakeService()
  await using open = await connectComponent(s3({ ...fake.options, maxRequests: 3, maxDownloads: 2 }))
  const sockets = new Set<unknown>()
  let atOnce = 0
  let most = 0
  fake.answer = async (request, response) => {
    sockets.add(request.socket)
    most = Math.max(most, ++atOnce)
    await drained(request)
    await new Promise((resolve) => setImmediate(resolve))
    atOnce--
    response.writeHead(200, { etag: '"a"', 'content-length': request.method === 'GET' ? 4 : 0 })
    response.end(request.method === 'GET' ? 'body' : '')
  }
  const calls = Array.from({ length: 300 }, async (_, at) => {
    if (at % 2 === 0) await open.api.upload(`${at}`, 'x')
    else assert.equal(await (await open.api.download(`${at}`)).text(), 'body')
  })
  await Promise.all(calls)
  assert.ok(most <= 5, `${most} requests at once`)
  assert.ok(sockets.size <= 9, `${sockets.size} sockets`)
  assert.deepEqual(open.api.status()['requests'], { running: 0, waiting: 0 })
})

test('an upload that must be the first and whose answer is lost may be stored', limit, async () => {
  await using fake = await fakeService()
  await using open = await connectComponent(s3({ ...fake.options, maxRetries: 2 }))
  fake.answer = async (request) => {
    await drained(request)
    request.socket.destroy()
  }
  await assert.rejects(Promise.resolve(open.api.upload('key', 'x', { ifAbsent: true })), {
    code: 'SLUICE_OUTCOME_UNKNOWN',
    retryable: false,
  })
  assert.equal(fake.requests.length, 1)
  await assert.rejects(Promise.resolve(open.api.upload('key', 'x')), { code: 'SLUICE_UNAVAILABLE' })
  assert.equal(fake.requests.length, 4)
})
