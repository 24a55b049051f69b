/** Makes objects: the bytes into a file of their own, flushed; then the attributes, renamed to where readers look. */
import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { copyFile, link, open, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { SluiceError } from '../../../core/errors.ts'
import type { StoredObject } from '../object.ts'
import { PartReader } from '../part-reader.ts'
import type { Attributes, Put, Transfer } from '../store.ts'
import { codeOf } from './failure.ts'
import type { Files } from './files.ts'
import { dataName, directoryOf, draftName, infoName, newId, placeOf, type Place } from './layout.ts'
import { writeRecord, type ObjectRecord } from './record.ts'
import type { Reader } from './reader.ts'

/** So many bytes are gathered for one write. */
const WRITE_BYTES = 1024 * 1024

export interface WriterParts {
  readonly component: string
  readonly files: Files
  readonly reader: Reader
  readonly now: () => number
}

interface Written {
  readonly data: string
  readonly size: number
  readonly etag: string
}

export class Writer {
  readonly #parts: WriterParts

  constructor(parts: WriterParts) {
    this.#parts = parts
  }

  put(put: Put, bytes: Uint8Array, signal: AbortSignal): Promise<StoredObject> {
    return this.#make(put, signal, async (write) => write(bytes))
  }

  transfer(transfer: Transfer, signal: AbortSignal): Promise<StoredObject> {
    const reader = new PartReader(transfer.source, WRITE_BYTES, transfer.size)
    return this.#make(transfer, signal, async (write) => {
      let buffer: Buffer | undefined
      let bytes = 0
      do {
        const part = await reader.read(buffer)
        signal.throwIfAborted()
        await write(part)
        bytes += part.length
        transfer.onProgress({ bytes, total: transfer.size })
        if (part.length === WRITE_BYTES) buffer = part
      } while (!reader.ended)
    })
  }

  async copy(
    source: ObjectRecord,
    to: string,
    attributes: Attributes | undefined,
    signal: AbortSignal,
  ): Promise<StoredObject> {
    const { files, reader } = this.#parts
    const [from, place] = [placeOf(source.key), placeOf(to)]
    const id = newId()
    await reader.refuseOther(place)
    await (await files.create(place.segments, dataName(place, id))).close()
    const path = reader.dataPath(place, id)
    try {
      await copyFile(reader.dataPath(from, source.data), path, constants.COPYFILE_FICLONE)
      const handle = await open(path, 'r+')
      try {
        await handle.datasync()
      } finally {
        await handle.close()
      }
      signal.throwIfAborted()
      const written = { data: id, size: source.size, etag: source.etag }
      return await this.#commit(place, written, attributes ?? source.attributes, false)
    } catch (error) {
      await this.#undo(place, id)
      throw error
    }
  }

  async #make(
    { key, attributes, ifAbsent }: Put,
    signal: AbortSignal,
    fill: (write: (bytes: Uint8Array) => Promise<void>) => Promise<void>,
  ): Promise<StoredObject> {
    signal.throwIfAborted()
    const { files, reader } = this.#parts
    const place = placeOf(key)
    // What could not be read again must not be written: on some file systems another key has the same name.
    await reader.refuseOther(place)
    const id = newId()
    const handle = await files.create(place.segments, dataName(place, id))
    try {
      const hash = createHash('md5')
      let size = 0
      try {
        await fill(async (bytes) => {
          hash.update(bytes)
          size += bytes.length
          await handle.writeFile(bytes)
        })
        await handle.datasync()
      } finally {
        await handle.close()
      }
      signal.throwIfAborted()
      return await this.#commit(place, { data: id, size, etag: hash.digest('hex') }, attributes, ifAbsent)
    } catch (error) {
      await this.#undo(place, id)
      throw error
    }
  }

  async #commit(
    place: Place,
    written: Written,
    attributes: Attributes,
    ifAbsent: boolean,
  ): Promise<StoredObject> {
    const { files, reader, now } = this.#parts
    const directory = directoryOf(files.root, place)
    const [draft, info] = [join(directory, draftName(place, written.data)), join(directory, infoName(place))]
    const record = { key: place.key, ...written, modified: now(), attributes }
    const handle = await files.create(place.segments, draftName(place, written.data))
    try {
      await handle.writeFile(writeRecord(record))
      await handle.datasync()
    } finally {
      await handle.close()
    }
    const old = ifAbsent ? undefined : await reader.recordAt(info)
    if (ifAbsent) await this.#linkOnce(draft, info)
    else await rename(draft, info)
    await files.flush(directory)
    if (old !== undefined) await files.remove(reader.dataPath(place, old.data))
    return { key: place.key, size: written.size, etag: written.etag }
  }

  /** A rename would replace what is there. */
  async #linkOnce(draft: string, info: string): Promise<void> {
    const { component, files } = this.#parts
    try {
      await link(draft, info)
    } catch (error) {
      if (codeOf(error) !== 'EEXIST') throw error
      throw new SluiceError('SLUICE_CONFLICT', `${component}: there is an object of that key`)
    }
    await files.remove(draft)
  }

  /** Whatever is left of an object that did not come about. */
  async #undo(place: Place, id: string): Promise<void> {
    const { files } = this.#parts
    const directory = directoryOf(files.root, place)
    for (const name of [dataName(place, id), draftName(place, id)])
      await files.remove(join(directory, name)).catch(() => false)
    await files.prune(place.segments)
  }
}
