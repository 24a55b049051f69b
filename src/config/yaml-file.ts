/** Finds and reads the configuration file. Its size is looked at before its content, and only a regular file is read. */
import { open, stat } from 'node:fs/promises'
import { isAbsolute, resolve } from 'node:path'
import type { Problem } from './problem.ts'

export const DEFAULT_FILE = 'sluice.yaml'

/** A configuration written by people has a few KiB; this bounds the time that reading it may take. */
export const MAX_FILE_BYTES = 256 * 1024

export interface FoundFile {
  /** As it was named. */
  readonly name: string
  readonly text: string
}

/**
 * The text of `named`, or of ./sluice.yaml where nothing is named. A file that was named must exist; the default one
 * need not, which gives undefined.
 */
export async function findFile(
  named: { readonly path: string; readonly by: string } | undefined,
  cwd: string,
): Promise<FoundFile | Problem | undefined> {
  const name = named?.path ?? DEFAULT_FILE
  const path = isAbsolute(name) ? name : resolve(cwd, name)
  const source = named === undefined ? name : `${named.by} ${name}`
  const fault = (expected: string): Problem => ({ path: '', source, expected })
  try {
    const facts = await stat(path)
    // Reading a pipe or a device might never end.
    if (!facts.isFile()) return fault('a regular file')
    if (facts.size > MAX_FILE_BYTES) return fault(tooLarge(facts.size))
    const bytes = await readBounded(path)
    // It may have grown meanwhile.
    if (bytes.length > MAX_FILE_BYTES) return fault(tooLarge(bytes.length))
    return { name, text: new TextDecoder('utf-8', { fatal: true }).decode(bytes) }
  } catch (error) {
    const code = (error as { readonly code?: string }).code
    if (code === 'ENOENT' && named === undefined) return undefined
    if (code === 'ENOENT') return fault('a file that exists')
    if (code === 'ERR_ENCODING_INVALID_ENCODED_DATA') return fault('text in UTF-8')
    return fault(`a file that can be read (${code ?? 'unknown reason'})`)
  }
}

async function readBounded(path: string): Promise<Uint8Array> {
  await using file = await open(path, 'r')
  const buffer = new Uint8Array(MAX_FILE_BYTES + 1)
  let length = 0
  while (length < buffer.length) {
    const { bytesRead } = await file.read(buffer, length, buffer.length - length)
    if (bytesRead === 0) break
    length += bytesRead
  }
  return buffer.subarray(0, length)
}

function tooLarge(bytes: number): string {
  return `at most ${MAX_FILE_BYTES / 1024} KiB; it has ${Math.ceil(bytes / 1024)} KiB`
}
