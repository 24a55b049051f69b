/** Finds objects: the attributes of a key, and the file that they name. */
import type { FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { SluiceError } from '../../../core/errors.ts'
import { notFound } from './failure.ts'
import type { Files } from './files.ts'
import { dataName, directoryOf, infoName, placeOf, type Place } from './layout.ts'
import { readRecord, type ObjectRecord } from './record.ts'

/** How often an object may be replaced while it is being opened. */
const MAX_REPLACED = 20

export class Reader {
  readonly #component: string
  readonly #files: Files

  constructor(component: string, files: Files) {
    this.#component = component
    this.#files = files
  }

  /** @throws SluiceError SLUICE_NOT_FOUND */
  async record(key: string): Promise<ObjectRecord> {
    const place = placeOf(key)
    if (!(await this.#files.isThere(place.segments))) throw notFound(this.#component)
    const record = await this.recordAt(this.#infoPath(place))
    if (record === undefined || record.key !== key) throw notFound(this.#component)
    return record
  }

  async recordAt(path: string): Promise<ObjectRecord | undefined> {
    const text = await this.#files.readText(path)
    return text === undefined ? undefined : readRecord(text, path)
  }

  /** An object may be replaced between the two looks: then the other one is opened. */
  async open(key: string): Promise<{ readonly record: ObjectRecord; readonly file: FileHandle }> {
    const place = placeOf(key)
    let last: string | undefined
    for (let attempt = 1; attempt <= MAX_REPLACED; attempt++) {
      const record = await this.record(key)
      const file = await this.#files.openToRead(this.dataPath(place, record.data))
      if (file !== undefined) return { record, file }
      if (record.data === last) break
      last = record.data
    }
    throw new SluiceError('SLUICE_STORE_CORRUPT', `${this.#component}: the bytes of an object are missing`, {
      hint: 'Restore the directory, or delete the object.',
    })
  }

  /** @throws SluiceError SLUICE_CONFLICT where the file system takes another key for the same */
  async refuseOther(place: Place): Promise<void> {
    const record = (await this.#files.isThere(place.segments))
      ? await this.recordAt(this.#infoPath(place))
      : undefined
    if (record === undefined || record.key === place.key) return
    throw new SluiceError(
      'SLUICE_CONFLICT',
      `${this.#component}: this file system takes the key for that of another object, which differs in case or accents`,
    )
  }

  dataPath(place: Place, id: string): string {
    return join(directoryOf(this.#files.root, place), dataName(place, id))
  }

  #infoPath(place: Place): string {
    return join(directoryOf(this.#files.root, place), infoName(place))
  }
}
