/** S3Mock, buckets and directories of a test's own, and a proxy before it. */
import { randomUUID } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CreateBucketCommand, ListMultipartUploadsCommand, S3Client } from '@aws-sdk/client-s3'
import { s3, type S3, type S3Options } from '../../../src/components/s3/index.ts'
import {
  connectComponent,
  type OpenComponent,
  type OpenComponentOptions,
} from '../../../src/testing/connect-component.ts'
import { startFaultProxy, type FaultProxy } from '../../../src/testing/fault-proxy.ts'

/** S3Mock, or another service: SLUICE_TEST_S3_ENDPOINT, with SLUICE_TEST_S3_KEY and SLUICE_TEST_S3_SECRET. */
export const ENDPOINT = process.env['SLUICE_TEST_S3_ENDPOINT'] ?? 'http://127.0.0.1:9090'
/** It checks no signatures and no expiry, so what rests on them cannot be tested with it. */
export const IS_MOCK = process.env['SLUICE_TEST_S3_ENDPOINT'] === undefined

/** Copied for each use: the SDK writes into what it is given. */
export const CREDENTIALS = {
  accessKeyId: process.env['SLUICE_TEST_S3_KEY'] ?? 'key',
  secretAccessKey: process.env['SLUICE_TEST_S3_SECRET'] ?? 'secret',
} as const

/** All buckets of one test file are one bucket, which stays: tests have prefixes of their own in it. */
export const BUCKET = 'sluice-test'
const PROBE_LIMIT_MS = 5_000

/** False, or why tests with the service cannot run. */
export async function missingService(): Promise<false | string> {
  const client = plainClient()
  try {
    await client.send(new CreateBucketCommand({ Bucket: BUCKET }), {
      abortSignal: AbortSignal.timeout(PROBE_LIMIT_MS),
    })
    return false
  } catch (error) {
    if (error instanceof Error && /^Bucket(AlreadyOwnedByYou|AlreadyExists)$/.test(error.name)) return false
    const reason = `no S3 at ${ENDPOINT} (${String(error)}); run: npm run services -- start s3`
    if (process.env['SLUICE_REQUIRE_SERVERS'] === '1')
      throw new Error(`SLUICE_REQUIRE_SERVERS=1 and ${reason}`)
    return reason
  } finally {
    client.destroy()
  }
}

/** The SDK as it comes, to look at the bucket from the outside. */
export function plainClient(): S3Client {
  return new S3Client({
    endpoint: ENDPOINT,
    region: 'us-east-1',
    forcePathStyle: true,
    credentials: { ...CREDENTIALS },
  })
}

/** Options of a component with keys that nobody else has. */
export function onService(options: S3Options = {}): S3Options {
  return { endpoint: ENDPOINT, bucket: BUCKET, keyPrefix: `${randomUUID()}/`, ...CREDENTIALS, ...options }
}

export interface Stage extends AsyncDisposable {
  readonly api: S3
  readonly open: OpenComponent<S3>
  /** Of all its keys. */
  readonly prefix: string
  /** S3Mock, which differs from S3 in what the tests say. */
  readonly mock: boolean
}

/** A connected component with keys of its own on the service; they go with it. */
export async function serviceStage(options: S3Options = {}, more: OpenComponentOptions = {}): Promise<Stage> {
  const all = onService(options)
  const open = await connectComponent(s3(all), more)
  return {
    api: open.api,
    open,
    prefix: all.keyPrefix ?? '',
    mock: IS_MOCK,
    async [Symbol.asyncDispose]() {
      await open.close()
      await clean(all.keyPrefix ?? '')
    },
  }
}

/** What is left of a test, by a component of its own: that of the test may be what was broken. */
export async function clean(keyPrefix: string): Promise<void> {
  await using sweeper = await connectComponent(s3(onService({ keyPrefix })))
  const keys: string[] = []
  for await (const { key } of sweeper.api.list()) keys.push(key)
  if (keys.length > 0) await sweeper.api.deleteMany(keys).waitAll()
  await sweeper.api.sweep({ olderThan: 0 })
}

/** A connected component over a directory of its own, which goes with it. */
export async function directoryStage(
  options: S3Options = {},
  more: OpenComponentOptions = {},
): Promise<Stage> {
  const { path, remove } = await ownDirectory()
  const open = await connectComponent(s3({ directory: path, ...options }), more)
  return {
    api: open.api,
    open,
    prefix: options.keyPrefix ?? '',
    mock: false,
    async [Symbol.asyncDispose]() {
      await open.close()
      await remove()
    },
  }
}

export async function ownDirectory(): Promise<{
  readonly path: string
  readonly remove: () => Promise<void>
}> {
  const path = await mkdtemp(join(tmpdir(), 'sluice-s3-'))
  return { path, remove: () => rm(path, { recursive: true, force: true }) }
}

/** A proxy before the service. */
export async function proxied(): Promise<{ readonly proxy: FaultProxy; readonly endpoint: string }> {
  const { hostname, port } = new URL(ENDPOINT)
  const proxy = await startFaultProxy({ target: { host: hostname, port: Number(port || '80') } })
  return { proxy, endpoint: `http://${proxy.address}` }
}

/** Uploads in parts that are neither completed nor aborted, below a prefix. */
export async function uploadsLeft(prefix: string): Promise<number> {
  const client = plainClient()
  try {
    const answer = await client.send(new ListMultipartUploadsCommand({ Bucket: BUCKET, Prefix: prefix }))
    return (answer.Uploads ?? []).filter(({ Key }) => Key?.startsWith(prefix)).length
  } finally {
    client.destroy()
  }
}

/** So many bytes, of which each place can be told from the next. */
export function patterned(length: number): Buffer {
  const bytes = Buffer.allocUnsafe(length)
  for (let at = 0; at < length; at++) bytes[at] = (at * 31 + (at >>> 8) * 17 + (at >>> 16)) & 0xff
  return bytes
}
