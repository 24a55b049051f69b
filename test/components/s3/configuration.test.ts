/** The configuration: names, contradictions, what is never shown. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inspect } from 'node:util'
import { parseEndpoint } from '../../../src/components/s3/endpoint.ts'
import { s3, type S3Options } from '../../../src/components/s3/index.ts'
import { loadConfig } from '../../../src/config/load.ts'
import { connectComponent, openComponent } from '../../../src/testing/connect-component.ts'

const limit = { timeout: 60_000 }

test('endpoints are URLs or host:port, and what is refused is never repeated', () => {
  assert.deepEqual(parseEndpoint('https://minio.internal:9000'), {
    host: 'minio.internal',
    port: 9_000,
    tls: true,
  })
  assert.deepEqual(parseEndpoint('http://[::1]:9000/'), { host: '[::1]', port: 9_000, tls: false })
  assert.deepEqual(parseEndpoint('minio:9000'), { host: 'minio', port: 9_000, tls: undefined })
  assert.deepEqual(parseEndpoint('minio'), { host: 'minio', port: undefined, tls: undefined })
  for (const text of [
    'ftp://a',
    'http://user:canary@a',
    'user:canary@a:9000',
    'http://a/canary',
    'http://',
    'a:canary',
  ]) {
    const parsed = parseEndpoint(text)
    assert.ok('expected' in parsed, text)
    assert.doesNotMatch(parsed.expected, /canary/)
  }
})

test('names of Amazon and of MinIO mean the same', limit, async () => {
  await using open = await openComponent(s3(), {
    env: {
      MINIO_ENDPOINT: 'minio:9000',
      MINIO_USE_SSL: 'true',
      MINIO_BUCKET: 'media',
      MINIO_ACCESS_KEY: 'a',
      MINIO_SECRET_KEY: 'b',
      AWS_REGION: 'eu-central-1',
    },
  })
  const { backend, endpoint, bucket, region } = open.api.status()
  assert.deepEqual([backend, endpoint, bucket, region], ['s3', 'https://minio:9000', 'media', 'eu-central-1'])
  await using directory = await openComponent(s3(), { env: { AWS_REGION: 'eu-central-1' } })
  assert.equal(directory.api.status()['backend'], 'directory')
})

test('contradictions are all told before anything connects, with no secret', limit, async () => {
  const wrong: readonly [S3Options, RegExp][] = [
    [{ endpoint: 'http://a' }, /bucket.*as endpoint is set/],
    [{ bucket: 'b', accessKeyId: 'canary' }, /secret_access_key.*as accessKeyId is set/],
    [{ bucket: 'b', secretAccessKey: 'canary' }, /access_key_id.*as secretAccessKey is set/],
    [{ publicUrl: 'canary' }, /publicUrl|public_url/],
    [{ partSize: '1mb' }, /part_?[sS]ize.*5mb to 5gb/],
    [{ endpoint: 'http://user:canary@a', bucket: 'b' }, /endpoint.*without credentials/],
  ]
  for (const [options, expected] of wrong)
    await assert.rejects(openComponent(s3(options)), (error: Error & { code?: string }) => {
      assert.equal(error.code, 'SLUICE_CONFIG')
      assert.match(error.message, expected)
      if (options.publicUrl === undefined) assert.doesNotMatch(inspect(error, { depth: 10 }), /canary/)
      return true
    })
})

test('minio is another word for s3 where pools and limits are set', limit, async () => {
  const defaults = await loadConfig({ components: { s3: s3() as never }, env: {}, file: false })
  assert.deepEqual(
    [defaults.components['s3']?.workers, defaults.components['s3']?.connectTimeoutMs],
    [8, 300_000],
  )
  const set = await loadConfig({
    components: { s3: s3() as never },
    env: { INFRASTRUCTURE_MINIO_WORKERS: '3', INFRASTRUCTURE_TIMEOUTS_MINIO: '7' },
    file: false,
  })
  assert.deepEqual([set.components['s3']?.workers, set.components['s3']?.connectTimeoutMs], [3, 7_000])
})

test('a file of TLS that is not there is named', async () => {
  const options = { endpoint: 'localhost:1', tls: true, bucket: 'b', accessKeyId: 'a', secretAccessKey: 'b' }
  await assert.rejects(connectComponent(s3({ ...options, tlsCa: '/none/ca.pem' })), {
    code: 'SLUICE_UNAVAILABLE',
    message: /tlsCa: cannot read \/none\/ca\.pem \(ENOENT\)/,
  })
})
