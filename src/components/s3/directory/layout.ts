/**
 * Where in the directory an object is:
 *
 *     <root>/                       0700
 *       signing.key                 signs the URLs, where S3_SIGNING_KEY does not
 *       objects/
 *         photos/                   a segment of keys; never holds an @
 *           cat.jpg@.json           the object photos/cat.jpg: its attributes, and which file has its bytes
 *           cat.jpg@9f86d081884c7d65       its bytes
 *           cat.jpg@2c26b46b68ffc68f.json  attributes in the making
 *
 * The file of the attributes is what makes an object: it is renamed to its name when the bytes are on disk, so that readers
 * see all of the old object or all of the new one, after a crash too. Files that no attributes name are swept.
 */
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { SluiceError } from '../../../core/errors.ts'

export interface Place {
  readonly key: string
  /** Names of the directories below `objects`. */
  readonly segments: readonly string[]
  /** What the names of its files begin with. */
  readonly name: string
}

/** What an @, the id and `.json` leave of a name of 255 bytes. */
const MAX_NAME_BYTES = 230
const INFO = '@.json'
/** What some file system does not take, our own mark, and the escape. */
// eslint-disable-next-line no-control-regex -- it takes them out
const UNSAFE = /[%@\\:*?"<>|\u0000-\u001f]|^\./g

/** @throws SluiceError SLUICE_UNSUPPORTED for a segment that is longer than names of files may be */
export function placeOf(key: string): Place {
  const segments = key.split('/').map(encode)
  const name = segments.pop()!
  for (const segment of [...segments, name]) {
    if (Buffer.byteLength(segment) <= MAX_NAME_BYTES) continue
    throw new SluiceError(
      'SLUICE_UNSUPPORTED',
      `a directory takes at most ${MAX_NAME_BYTES} bytes between two slashes of a key`,
      { hint: 'Put slashes into the key, or store on S3.' },
    )
  }
  return { key, segments, name }
}

export const directoryOf = (objects: string, { segments }: Place): string => join(objects, ...segments)
export const infoName = (place: Place): string => place.name + INFO
export const dataName = (place: Place, id: string): string => `${place.name}@${id}`
export const draftName = (place: Place, id: string): string => `${place.name}@${id}.json`
export const newId = (): string => randomBytes(8).toString('hex')
export const isId = (text: unknown): text is string => typeof text === 'string' && /^[0-9a-f]{16}$/.test(text)

/** The segment of an object's attributes; undefined for another file. */
export function segmentOfInfo(file: string): string | undefined {
  return file.endsWith(INFO) ? decode(file.slice(0, -INFO.length)) : undefined
}

/** The segment that a directory stands for; undefined where it is none of ours. */
export function segmentOfDirectory(name: string): string | undefined {
  return name.includes('@') ? undefined : decode(name)
}

/** Bytes, or attributes in the making: whose, and which. */
export function partsOfData(file: string): { readonly name: string; readonly id: string } | undefined {
  const match = /^(.*)@([0-9a-f]{16})(\.json)?$/.exec(file)
  return match === null ? undefined : { name: match[1]!, id: match[2]! }
}

function encode(segment: string): string {
  if (segment === '') return '%'
  return segment.replaceAll(
    UNSAFE,
    (character) => `%${character.charCodeAt(0).toString(16).padStart(2, '0')}`,
  )
}

function decode(name: string): string {
  if (name === '%') return ''
  return name.replaceAll(/%([0-9a-f]{2})/g, (_, code: string) => String.fromCharCode(parseInt(code, 16)))
}
