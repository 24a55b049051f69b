/**
 * The directory of one embedded database:
 *
 *     .sluice/<app>/postgres/        0700 (0710 where the server runs as another user, who must pass through)
 *       data/                  0700  PostgreSQL's data directory
 *         .s.PGSQL.5432              the socket, the only way in
 *       server.log                   what the server says
 *       start.lock                   held while one process starts or stops the server
 *       users.lock                   held, shared, by every process that uses the server
 *       users/<pid>                  who they are, for people
 *       runtime.json                 how the server is run; found out once
 *       initdb-*                     a data directory in the making; renamed to data/ when complete
 *
 * Only data/ ever belongs to the server's user: a server that was made to do ill can plant no link among the files
 * that a root process writes.
 */
import { chmod, chown, lstat, mkdir, realpath, stat, writeFile } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { SluiceError } from '../../../core/errors.ts'
import type { User } from './privilege.ts'

export interface Home {
  readonly directory: string
  readonly data: string
  readonly log: string
  readonly startLock: string
  readonly usersLock: string
  readonly users: string
  readonly runtime: string
}

/** Makes the directory where it is missing, and checks that it is ours alone. */
export async function openHome(dataDir: string | undefined, appDir: string, appName: string): Promise<Home> {
  const wanted = resolve(appDir, dataDir ?? join('.sluice', safeName(appName), 'postgres'))
  try {
    if (dataDir === undefined) await makeDefaultParent(appDir)
    await makeDirectory(wanted, 0o700)
    await refuseForeign(wanted)
    const directory = await realpath(wanted)
    if (((await stat(directory)).mode & 0o067) !== 0) await chmod(directory, 0o700)
    const home = at(directory)
    await makeDirectory(home.users, 0o700)
    return home
  } catch (error) {
    if (error instanceof SluiceError) throw error
    throw storeFailure(`the directory ${wanted} cannot be used`, error)
  }
}

/** SLUICE_STORE_FULL or SLUICE_STORE_FAILED for an error of the file system. */
export function storeFailure(what: string, cause: unknown): SluiceError {
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : ''
  const reason = cause instanceof Error ? cause.message : String(cause)
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new SluiceError('SLUICE_STORE_FULL', `${what}: ${reason}`, {
      cause,
      retryable: true,
      hint: 'Free space on its disk; the next attempt continues by itself.',
    })
  }
  return new SluiceError('SLUICE_STORE_FAILED', `${what}: ${reason}`, {
    cause,
    hint: 'It must be writable for the user of this process; or choose another directory with dataDir.',
  })
}

/** Lets the user that the server runs as pass through to the data directory. */
export async function letThrough(home: Home, user: User): Promise<void> {
  const { uid, gid, mode } = await stat(home.directory)
  if (uid === user.uid) return
  if (gid !== user.gid) await chown(home.directory, uid, user.gid)
  if ((mode & 0o777) !== 0o710) await chmod(home.directory, 0o710)
}

/** PostgreSQL refuses a data directory that others can read, or that is not its user's. */
export async function checkData(home: Home, owner: number): Promise<void> {
  const stats = await lstat(home.data)
  if (!stats.isDirectory() || stats.uid !== owner) {
    throw new SluiceError(
      'SLUICE_STORE_FAILED',
      `${home.data} is not a directory of the user that PostgreSQL runs as (uid ${owner}, owner ${stats.uid})`,
      { hint: `Run: chown -R ${owner} ${home.data}` },
    )
  }
  if ((stats.mode & 0o027) !== 0) await chmod(home.data, 0o700)
}

function at(directory: string): Home {
  return {
    directory,
    data: join(directory, 'data'),
    log: join(directory, 'server.log'),
    startLock: join(directory, 'start.lock'),
    usersLock: join(directory, 'users.lock'),
    users: join(directory, 'users'),
    runtime: join(directory, 'runtime.json'),
  }
}

async function makeDefaultParent(appDir: string): Promise<void> {
  const root = join(appDir, '.sluice')
  await makeDirectory(root, 0o755)
  await refuseForeign(root)
  await writeFile(join(root, '.gitignore'), '*\n', { flag: 'wx' }).catch(() => {})
}

/** Node's own recursive mkdir says ENOENT for whatever is wrong above, such as a read-only file system. */
async function makeDirectory(path: string, mode: number): Promise<void> {
  try {
    await mkdir(path, mode)
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined
    if (code === 'EEXIST') return
    if (code !== 'ENOENT' || dirname(path) === path) throw error
    await makeDirectory(dirname(path), mode)
    await makeDirectory(path, mode)
  }
}

/** A directory or link that somebody else put here would lead our data into their hands. Root may use anybody's. */
async function refuseForeign(path: string): Promise<void> {
  const own = process.getuid?.()
  const [entry, target] = await Promise.all([lstat(path), stat(path)])
  const foreignLink = entry.isSymbolicLink() && entry.uid !== own
  if (!foreignLink && (own === 0 || target.uid === own)) return
  const owner = foreignLink ? entry.uid : target.uid
  throw new SluiceError(
    'SLUICE_STORE_FAILED',
    `${path} is a ${foreignLink ? 'link' : 'directory'} of another user (uid ${owner})`,
    {
      hint: foreignLink
        ? 'Look where it leads and remove it, or choose another directory with dataDir.'
        : `Run: chown -R ${own} ${path}, or choose another directory with dataDir.`,
    },
  )
}

function safeName(appName: string): string {
  return appName.replace(/[^\w.-]+/g, '-').replace(/^\.+/, '') || 'app'
}
