/** Takes away what writers left that were killed: files that no attributes name. */
import type { Dirent } from 'node:fs'
import { opendir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { codeOf } from './failure.ts'
import type { Files } from './files.ts'
import { partsOfData, segmentOfDirectory } from './layout.ts'
import type { Reader } from './reader.ts'

export interface SweepParts {
  readonly files: Files
  readonly reader: Reader
  readonly now: () => number
}

/** Resolves with how many objects in the making were ended, below the keys that begin with `prefix`. */
export async function sweepDirectory(
  parts: SweepParts,
  olderThanMs: number,
  prefix: string,
  signal: AbortSignal,
): Promise<number> {
  const left = new Set<string>()
  await sweepBelow(parts, {
    directory: parts.files.root,
    base: '',
    prefix,
    before: parts.now() - olderThanMs,
    signal,
    left,
  })
  return left.size
}

interface Sweep {
  readonly directory: string
  readonly base: string
  readonly prefix: string
  readonly before: number
  readonly signal: AbortSignal
  /** Ids of what was taken away. */
  readonly left: Set<string>
}

async function sweepBelow({ files, reader, now }: SweepParts, sweep: Sweep): Promise<void> {
  const { directory, base, prefix, before, signal, left } = sweep
  for await (const entry of await opendirIfThere(directory)) {
    signal.throwIfAborted()
    const path = join(directory, entry.name)
    if (entry.isDirectory()) {
      const segment = segmentOfDirectory(entry.name)
      const key = `${base}${segment}/`
      if (segment === undefined || !(key.startsWith(prefix) || prefix.startsWith(key))) continue
      await sweepBelow({ files, reader, now }, { ...sweep, directory: path, base: key })
      continue
    }
    const found = entry.isFile() ? partsOfData(entry.name) : undefined
    if (found === undefined || !`${base}${found.name}`.startsWith(prefix)) continue
    const { mtimeMs } = await stat(path).catch(() => ({ mtimeMs: Infinity }))
    if (mtimeMs > before) continue
    const record = await reader.recordAt(join(directory, `${found.name}@.json`))
    if (record?.data === found.id && !entry.name.endsWith('.json')) continue
    if (await files.remove(path)) left.add(found.id)
  }
}

async function opendirIfThere(directory: string): Promise<AsyncIterable<Dirent>> {
  try {
    return await opendir(directory)
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return nothing()
    throw error
  }
}

async function* nothing(): AsyncGenerator<never> {}
