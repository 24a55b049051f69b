/** The store over files in a directory: the default, where no bucket is configured. */
import { open as openFile, unlink } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import type { FastifyInstance } from 'fastify'
import type { ComponentContext } from '../../../app/component.ts'
import { isSluiceError, SluiceError, toError } from '../../../core/errors.ts'
import type { ByteRange, ListedObject } from '../object.ts'
import type { S3Config } from '../section.ts'
import type { ObjectStore, Opened, Page, PageRequest } from '../store.ts'
import { codeOf, fileError } from './failure.ts'
import { Files } from './files.ts'
import { openHome, signingKey } from './home.ts'
import { directoryOf, infoName, newId, placeOf } from './layout.ts'
import { Reader } from './reader.ts'
import { infoOf } from './record.ts'
import { OBJECTS_PATH } from './routes.ts'
import { grantOf, signedQuery } from './signature.ts'
import { sweepDirectory } from './sweep.ts'
import { walk, type WalkOptions } from './walk.ts'
import { Writer } from './writer.ts'

interface Disk {
  readonly root: string
  readonly files: Files
  readonly reader: Reader
  readonly writer: Writer
  readonly secret: Buffer
}

export interface DirectoryStore extends ObjectStore {
  /** Of signatures; undefined before the directory is open. */
  readonly secret: () => Buffer | undefined
}

export function createDirectoryStore(context: ComponentContext<S3Config>): DirectoryStore {
  const { config, name, appName, clock } = context
  const now = (): number => clock.now()
  let opened: Disk | undefined
  let http: FastifyInstance | undefined

  const current = (): Disk => {
    if (opened !== undefined) return opened
    throw new SluiceError('SLUICE_CLOSED', `${name} was closed`, { component: name })
  }
  const guard = async <T>(
    what: string,
    signal: AbortSignal,
    work: (open: Disk) => Promise<T>,
  ): Promise<T> => {
    signal.throwIfAborted()
    try {
      return await work(current())
    } catch (error) {
      throw fileError(name, what, error)
    }
  }

  return {
    kind: 'directory',
    secret: () => opened?.secret,
    async open(signal) {
      signal.throwIfAborted()
      try {
        const { root, objects } = await openHome(name, config.directory, appName)
        const secret =
          config.signingKey === undefined ? await signingKey(root) : Buffer.from(config.signingKey)
        const files = new Files(name, objects)
        const reader = new Reader(name, files)
        const writer = new Writer({ component: name, files, reader, now })
        signal.throwIfAborted()
        opened = { root, files, reader, writer, secret }
      } catch (error) {
        throw fileError(name, 'the directory cannot be used', error)
      }
    },
    check: (signal) =>
      guard('check', signal, async ({ root }) => {
        const path = join(root, `probe-${newId()}`)
        await (await openFile(path, 'wx', 0o600)).close()
        await unlink(path)
      }),
    async close() {
      opened = undefined
    },
    put: (put, bytes, signal) => guard('upload', signal, ({ writer }) => writer.put(put, bytes, signal)),
    transfer: (transfer, signal) =>
      guard('upload', signal, ({ writer }) => writer.transfer(transfer, signal)),
    get: (key, range, signal) => guard('download', signal, ({ reader }) => openObject(reader, key, range)),
    head: (key, signal) => guard('head', signal, async ({ reader }) => infoOf(await reader.record(key))),
    page: (request, signal) =>
      guard('list', signal, ({ files, reader }) => pageOf(files, reader, request, signal)),
    remove: (key, signal) => guard('delete', signal, (open) => remove(open, key)),
    async removeMany(keys, signal) {
      const results: (SluiceError | undefined)[] = []
      for (const key of keys) {
        try {
          await guard('delete', signal, (open) => remove(open, key))
          results.push(undefined)
        } catch (error) {
          if (signal.aborted || !isSluiceError(error)) throw error
          results.push(error)
        }
      }
      return results
    },
    copy: (from, to, attributes, signal) =>
      guard('copy', signal, async ({ reader, writer }) => {
        for (let attempt = 1; ; attempt++) {
          const source = await reader.record(from)
          try {
            return await writer.copy(source, to, attributes, signal)
          } catch (error) {
            // Replaced between the two looks.
            if (codeOf(error) !== 'ENOENT' || attempt === 20) throw error
          }
        }
      }),
    bodyError: (thrown) => toError(fileError(name, 'download', thrown)),
    async presign(request) {
      const base = config.publicUrl?.replace(/\/+$/, '') ?? listeningAt(name, http)
      const query = signedQuery(grantOf(request), name, current().secret)
      const { contentType, size } = request
      const isPut = request.method === 'PUT'
      return {
        url: `${base}${OBJECTS_PATH}/${encodeURIComponent(name)}?${query}`,
        headers: {
          ...(isPut && contentType !== undefined && { 'content-type': contentType }),
          ...(isPut && size !== undefined && { 'content-length': String(size) }),
        },
      }
    },
    sweep: (olderThanMs, prefix, signal) =>
      guard('sweep', signal, ({ files, reader }) =>
        sweepDirectory({ files, reader, now }, olderThanMs, prefix, signal),
      ),
    routes(server) {
      http = server
    },
    inspect: () => ({ backend: 'directory', directory: opened?.root ?? null }),
  }
}

async function openObject(reader: Reader, key: string, range: ByteRange | undefined): Promise<Opened> {
  const { record, file } = await reader.open(key)
  try {
    const { offset, length } = spanOf(range, record.size)
    if (length === 0) {
      await file.close()
      return { info: infoOf(record), offset, length, body: Readable.from([]), cut: () => {} }
    }
    const body = file.createReadStream({ start: offset, end: offset + length - 1, highWaterMark: 256 * 1024 })
    return { info: infoOf(record), offset, length, body, cut: () => {} }
  } catch (error) {
    await file.close()
    throw error
  }
}

function spanOf(
  range: ByteRange | undefined,
  size: number,
): { readonly offset: number; readonly length: number } {
  if (range === undefined) return { offset: 0, length: size }
  const start = 'last' in range ? Math.max(0, size - range.last) : range.start
  const end = 'last' in range ? size - 1 : Math.min(range.end ?? size - 1, size - 1)
  if (start <= end) return { offset: start, length: end - start + 1 }
  throw new SluiceError('SLUICE_INVALID_ARGUMENT', 'the range begins behind the end of the object')
}

async function remove({ files, reader }: Disk, key: string): Promise<void> {
  const place = placeOf(key)
  if (!(await files.isThere(place.segments))) return
  const directory = directoryOf(files.root, place)
  const path = join(directory, infoName(place))
  const record = await reader.recordAt(path)
  if (record === undefined || record.key !== key) return
  await files.remove(path)
  await files.flush(directory)
  await files.remove(reader.dataPath(place, record.data))
  await files.prune(place.segments)
}

async function pageOf(
  files: Files,
  reader: Reader,
  request: PageRequest,
  signal: AbortSignal,
): Promise<Page> {
  const { prefix, delimiter, limit } = request
  const objects: ListedObject[] = []
  const prefixes: string[] = []
  let last: WalkOptions['after']
  for await (const found of walk(files.root, {
    prefix,
    delimiter: delimiter !== undefined,
    after: afterOf(request),
  })) {
    signal.throwIfAborted()
    if (objects.length + prefixes.length === limit) return { objects, prefixes, token: tokenOf(last) }
    last = found
    if (found.kind === 'prefix') {
      prefixes.push(found.key)
      continue
    }
    const record = await reader.recordAt(found.path)
    // Deleted meanwhile.
    if (record === undefined) continue
    const { key, size, etag, modified } = record
    objects.push({ key, size, etag, lastModified: new Date(modified) })
  }
  return { objects, prefixes, token: undefined }
}

function tokenOf(last: WalkOptions['after']): string | undefined {
  return last === undefined
    ? undefined
    : Buffer.from(JSON.stringify([last.kind, last.key])).toString('base64url')
}

function afterOf({ token, after }: PageRequest): WalkOptions['after'] {
  if (token === undefined) return after === undefined ? undefined : { kind: 'object', key: after }
  const [kind, key] = JSON.parse(Buffer.from(token, 'base64url').toString()) as ['object' | 'prefix', string]
  return { kind, key }
}

/** The app's own address, as its clients on this machine reach it. */
function listeningAt(component: string, http: FastifyInstance | undefined): string {
  const address = http?.server.address() as AddressInfo | string | null | undefined
  if (address === null || address === undefined || typeof address === 'string')
    throw new SluiceError('SLUICE_UNSUPPORTED', `${component}: a URL needs an app that listens on a port`, {
      hint: 'Set S3_PUBLIC_URL to the address that clients use.',
    })
  const { address: host, family, port } = address
  if (host === '0.0.0.0' || host === '::') return `http://localhost:${port}`
  return `http://${family === 'IPv6' ? `[${host}]` : host}:${port}`
}
