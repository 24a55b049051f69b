/**
 * The socket's address may have 107 bytes (103 on macOS), and projects live in deep directories. The server binds by a
 * relative name and does not mind; clients are given, where the path is too long, a link to the data directory from a
 * short directory of our own.
 */
import { lstat, mkdir, readlink, realpath, rm, symlink } from 'node:fs/promises'
import { createHash } from 'node:crypto'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SluiceError } from '../../../core/errors.ts'

export const PORT = 5432
const LIMIT = process.platform === 'linux' ? 107 : 103

export function socketIn(directory: string): string {
  return join(directory, `.s.PGSQL.${PORT}`)
}

/** A directory name for clients that leads to `dataDir` and is short enough. */
export async function socketDirectory(dataDir: string, temporary = tmpdir()): Promise<string> {
  if (Buffer.byteLength(socketIn(dataDir)) <= LIMIT) return dataDir
  const parent = await privateTemporary(temporary)
  const link = join(parent, createHash('sha256').update(dataDir).digest('hex').slice(0, 12))
  if ((await readlink(link).catch(() => undefined)) === dataDir) return link
  await rm(link, { force: true })
  await symlink(dataDir, link).catch((error: NodeJS.ErrnoException) => {
    // Another process was faster: the name is made of the path, so it made the same link.
    if (error.code !== 'EEXIST') throw error
  })
  return link
}

/** A directory of our own in the one where all may write; whoever else took its name is refused. */
export async function privateTemporary(temporary = tmpdir()): Promise<string> {
  const own = process.getuid?.() ?? 0
  const path = join(await realpath(temporary), `sluice-${own}`)
  await mkdir(path, { mode: 0o700 }).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error
  })
  const stats = await lstat(path)
  if (stats.isDirectory() && stats.uid === own && (stats.mode & 0o022) === 0) return path
  throw new SluiceError('SLUICE_STORE_FAILED', `${path} is not a directory that only we can write`, {
    hint: `Look where it comes from and remove it, or set TMPDIR to a directory of your own.`,
  })
}
