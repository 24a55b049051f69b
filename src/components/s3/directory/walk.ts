/**
 * Keys of a directory in their order, which is that of their UTF-8 bytes: a directory is sorted as its segment and a slash,
 * so that what is in it stands where its keys belong. Nothing is read that the caller does not come to.
 */
import type { Dirent } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { codeOf } from './failure.ts'
import { segmentOfDirectory, segmentOfInfo } from './layout.ts'

export type Found =
  | { readonly kind: 'object'; readonly key: string; readonly path: string }
  /** Something is below, and the delimiter says that it is not to be listed. */
  | { readonly kind: 'prefix'; readonly key: string }

export interface WalkOptions {
  readonly prefix: string
  readonly delimiter: boolean
  /** Keys up to this one are left out, and so is what begins with it where it is a prefix that was given. */
  readonly after: { readonly kind: 'object' | 'prefix'; readonly key: string } | undefined
}

export async function* walk(root: string, options: WalkOptions): AsyncGenerator<Found, void, undefined> {
  yield* below(root, '', options)
}

async function* below(
  directory: string,
  base: string,
  options: WalkOptions,
): AsyncGenerator<Found, void, undefined> {
  const { prefix, delimiter, after } = options
  for (const entry of await sorted(directory)) {
    const key = base + entry.key
    if (!entry.isDirectory) {
      if (key.startsWith(prefix) && !isBefore(key, after)) yield { kind: 'object', key, path: entry.path }
      continue
    }
    if (!key.startsWith(prefix) && !prefix.startsWith(key)) continue
    // All keys in it begin with `key`: those of a subtree that ends before `after` are not looked for.
    if (after !== undefined && compareKeys(key, after.key) < 0 && !after.key.startsWith(key)) continue
    if (delimiter && key.length > prefix.length) {
      if (!(after?.kind === 'prefix' && after.key === key) && (await hasAny(entry.path, key, options)))
        yield { kind: 'prefix', key }
    } else {
      yield* below(entry.path, key, options)
    }
  }
}

async function hasAny(directory: string, key: string, { after }: WalkOptions): Promise<boolean> {
  for await (const _ of below(directory, key, { prefix: '', delimiter: false, after })) return true
  return false
}

function isBefore(key: string, after: WalkOptions['after']): boolean {
  if (after === undefined) return false
  if (after.kind === 'prefix' && key.startsWith(after.key)) return true
  return compareKeys(key, after.key) <= 0
}

interface Entry {
  readonly key: string
  readonly bytes: Buffer
  readonly isDirectory: boolean
  readonly path: string
}

async function sorted(directory: string): Promise<readonly Entry[]> {
  let names: Dirent[]
  try {
    names = await readdir(directory, { withFileTypes: true })
  } catch (error) {
    // It was emptied and taken away meanwhile.
    if (codeOf(error) === 'ENOENT') return []
    throw error
  }
  const entries: Entry[] = []
  for (const name of names) {
    // A link is neither.
    const isDirectory = name.isDirectory()
    const segment = isDirectory
      ? segmentOfDirectory(name.name)
      : name.isFile()
        ? segmentOfInfo(name.name)
        : undefined
    if (segment === undefined) continue
    const key = isDirectory ? `${segment}/` : segment
    entries.push({ key, bytes: Buffer.from(key), isDirectory, path: join(directory, name.name) })
  }
  return entries.sort((a, b) => Buffer.compare(a.bytes, b.bytes))
}

/** By their bytes in UTF-8, as S3 has it; JavaScript compares those of UTF-16. */
export function compareKeys(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b))
}
