/**
 * Small objects through the component and through the plain SDK with as many at once, on S3Mock (S3_ENDPOINT, or
 * 127.0.0.1:9090), whose own pace is the limit, and on a sink that answers at once, where the client is; and one stream of
 * 5 GiB, beside lib-storage. That goes to the sink alone, a process which speaks the protocol and throws the bytes away.
 */
import { fork, type ChildProcess } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { join } from 'node:path'
import { CreateBucketCommand, GetObjectCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3'
import { s3, type S3 } from '../src/components/s3/index.ts'
import { connectComponent } from '../src/testing/connect-component.ts'
import { ratio, type Benchmark, type Row, type Subject } from './harness/benchmark.ts'
import { versionOfOurs } from './harness/peers.ts'
import { median } from './harness/rounds.ts'

const AT_ONCE = 32
const BYTES = 1_024
const BUCKET = 'sluice-bench'
const GIB = 1_024 ** 3
const CREDENTIALS = { accessKeyId: 'key', secretAccessKey: 'secret' } as const

interface Uploaded {
  readonly rate: number
  readonly grownBy: number
}

export const benchmark: Benchmark = {
  doc: 'small objects beside the plain SDK, and a stream of 5 GiB in bounded memory beside lib-storage',
  peers: [],
  async run({ quick, rounds, note }) {
    const service = process.env['S3_ENDPOINT'] ?? 'http://127.0.0.1:9090'
    await using stack = new AsyncDisposableStack()
    const sink = await program('s3-sink.ts', [], stack)
    const sinkUrl = `http://127.0.0.1:${String(sink.said)}`
    const subjects = [
      ...(await smallObjects('S3Mock', service, quick ? 300 : 1_000, stack)),
      ...(await smallObjects('sink', sinkUrl, quick ? 2_000 : 6_000, stack)),
    ]
    const rows = await rounds(subjects, { rounds: 7, quickRounds: 3, warmUp: 1 })
    const bytes = quick ? GIB / 2 : 5 * GIB
    const streamed: Row[] = []
    for (const [id, name] of [
      ['sluice', 'sluice upload of a stream'],
      ['lib-storage', 'lib-storage'],
    ] as const) {
      const measured: Uploaded[] = []
      for (let round = 0; round < (quick ? 1 : 3); round++) {
        note(`${name}: ${bytes / GIB} GiB`)
        measured.push(await uploadOnce(id, sinkUrl, bytes))
      }
      streamed.push(
        row(name, median(measured.map(({ rate }) => rate)), 'MB/s'),
        row(`${name}, grown by at most`, Math.max(...measured.map(({ grownBy }) => grownBy)), 'MB'),
      )
    }
    const all = [...rows, ...streamed]
    return {
      versions: {
        '@aws-sdk/client-s3': versionOfOurs('@aws-sdk/client-s3'),
        '@aws-sdk/lib-storage': versionOfOurs('@aws-sdk/lib-storage'),
      },
      settings: { at_once: AT_ONCE, bytes: BYTES, stream_gib: bytes / GIB, part_mb: 8, parts_at_once: 3 },
      rows: all,
      ratios: {
        s3_upload_batch_vs_raw: ratio(all, 'sluice uploadBatch, S3Mock', 'SDK put, S3Mock'),
        s3_download_vs_raw: ratio(all, 'sluice download, S3Mock', 'SDK get, S3Mock'),
        s3_upload_batch_vs_raw_sink: ratio(all, 'sluice uploadBatch, sink', 'SDK put, sink'),
        s3_download_vs_raw_sink: ratio(all, 'sluice download, sink', 'SDK get, sink'),
        s3_stream_vs_lib_storage: ratio(all, 'sluice upload of a stream', 'lib-storage'),
      },
    }
  },
}

/** Ours and the SDK's own, with as many requests at once. */
async function smallObjects(
  where: string,
  endpoint: string,
  count: number,
  stack: AsyncDisposableStack,
): Promise<readonly Subject[]> {
  const client = new S3Client({
    endpoint,
    region: 'us-east-1',
    forcePathStyle: true,
    credentials: { ...CREDENTIALS },
    requestHandler: { httpAgent: { keepAlive: true, maxSockets: AT_ONCE } },
  })
  stack.defer(() => client.destroy())
  if (where === 'S3Mock')
    await client.send(new CreateBucketCommand({ Bucket: BUCKET })).catch(() => undefined)
  const prefix = `${randomUUID()}/`
  const open = stack.use(
    await connectComponent(
      s3({
        endpoint,
        bucket: BUCKET,
        keyPrefix: prefix,
        maxRequests: AT_ONCE,
        maxDownloads: AT_ONCE,
        ...CREDENTIALS,
      }),
    ),
  )
  const body = Buffer.alloc(BYTES, 'x')
  // The same few keys again and again, so that the mock does not fill up.
  const keys = Array.from({ length: AT_ONCE * 4 }, (_, at) => `object-${at}`)
  const keyOf = (at: number): string => keys[at % keys.length]!
  stack.defer(async () => void (await open.api.deleteMany(keys).waitAll()))
  await upload(open.api, keys, body)
  const raw = (send: (at: number) => Promise<unknown>) => (): Promise<number> =>
    timed(count, () => atOnce(count, send))
  return [
    {
      name: `sluice uploadBatch, ${where}`,
      unit: 'objects/s',
      measure: () =>
        timed(count, () =>
          upload(
            open.api,
            Array.from({ length: count }, (_, at) => keyOf(at)),
            body,
          ),
        ),
    },
    {
      name: `SDK put, ${where}`,
      unit: 'objects/s',
      measure: raw((at) =>
        client.send(
          new PutObjectCommand({
            Bucket: BUCKET,
            Key: prefix + keyOf(at),
            Body: body,
            ContentType: 'application/octet-stream',
          }),
        ),
      ),
    },
    {
      name: `sluice download, ${where}`,
      unit: 'objects/s',
      measure: raw(async (at) => (await open.api.download(keyOf(at))).bytes()),
    },
    {
      name: `SDK get, ${where}`,
      unit: 'objects/s',
      measure: raw(async (at) => {
        const { Body } = await client.send(new GetObjectCommand({ Bucket: BUCKET, Key: prefix + keyOf(at) }))
        return Body!.transformToByteArray()
      }),
    },
  ]
}

async function upload(api: S3, keys: readonly string[], body: Buffer): Promise<void> {
  const { errors } = await api.uploadBatch(keys.map((key) => ({ key, body }))).waitAll()
  const failed = errors.find((error) => error !== undefined)
  if (failed !== undefined) throw failed
}

async function timed(count: number, work: () => Promise<unknown>): Promise<number> {
  const startedAt = performance.now()
  await work()
  return count / ((performance.now() - startedAt) / 1_000)
}

async function atOnce(count: number, call: (at: number) => Promise<unknown>): Promise<void> {
  let next = 0
  const caller = async (): Promise<void> => {
    while (next < count) await call(next++)
  }
  await Promise.all(Array.from({ length: AT_ONCE }, caller))
}

/** In a process of its own, which has held nothing else. */
async function uploadOnce(subject: string, endpoint: string, bytes: number): Promise<Uploaded> {
  await using stack = new AsyncDisposableStack()
  const before = await received(endpoint)
  const { child } = await program('s3-upload.ts', [subject, endpoint, String(bytes)], stack)
  const already = (await received(endpoint)) - before
  child.send('round')
  const [measured] = (await once(child, 'message')) as [Uploaded]
  const arrived = (await received(endpoint)) - before - already
  if (arrived !== bytes) throw new Error(`${subject}: ${arrived} of ${bytes} bytes arrived`)
  return measured
}

async function received(endpoint: string): Promise<number> {
  return Number(await (await fetch(`${endpoint}/received`)).text())
}

async function program(
  name: string,
  args: readonly string[],
  stack: AsyncDisposableStack,
): Promise<{ readonly child: ChildProcess; readonly said: unknown }> {
  const child = fork(join(import.meta.dirname, 'programs', name), args, {
    execArgv: ['--conditions=sluice-source'],
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  const exited = once(child, 'exit')
  stack.defer(async () => {
    child.kill('SIGKILL')
    await exited
  })
  const ended = exited.then(() => {
    throw new Error(`${name} ended`)
  })
  ended.catch(() => {})
  const [said] = (await Promise.race([once(child, 'message'), ended])) as [unknown]
  return { child, said }
}

function row(subject: string, value: number, unit: string): Row {
  return { subject, value: Number(value.toPrecision(4)), unit }
}
