/**
 * PostgreSQL refuses to run as root. This file says how a program of it is started so that it does not.
 *
 * - direct: we are not root.
 * - setuid: the child runs as an unprivileged user, to whom the data directory belongs. The best of the three.
 * - namespace: `unshare -U` gives the child a user namespace of its own in which it is an ordinary user. For programs
 *   that no other user can reach, such as those under root's home. It has none of root's capabilities, but still owns
 *   what root owns.
 * - copy: the programs are copied to where an unprivileged user reaches them, and run as with setuid.
 *
 * A data directory that the unprivileged user cannot reach is no hindrance: the child is started inside it, and is
 * told to work on /proc/self/cwd.
 */
import { readFile, stat } from 'node:fs/promises'
import { userInfo } from 'node:os'
import { dirname } from 'node:path'

export const ROOT_WAYS = ['setuid', 'namespace', 'copy'] as const
/** How root is dropped. */
export type RootWay = (typeof ROOT_WAYS)[number]

export type RunAs =
  | { readonly way: 'direct' }
  | { readonly way: 'setuid' | 'namespace'; readonly uid: number; readonly gid: number }

export interface User {
  readonly uid: number
  readonly gid: number
}

/** What `spawn` is given to run `program` that way. */
export interface Command {
  readonly file: string
  readonly args: readonly string[]
  readonly options: Partial<User>
}

export function commandAs(runAs: RunAs, program: string, args: readonly string[]): Command {
  switch (runAs.way) {
    case 'direct':
      return { file: program, args, options: {} }
    case 'setuid':
      return { file: program, args, options: { uid: runAs.uid, gid: runAs.gid } }
    case 'namespace': {
      const map = [`--map-user=${runAs.uid}`, `--map-group=${runAs.gid}`]
      return { file: 'unshare', args: ['-U', ...map, program, ...args], options: {} }
    }
  }
}

/** Nothing of the app's environment: its PG* variables would redirect the server, and its secrets are not for it. */
export function childEnvironment(): NodeJS.ProcessEnv {
  const { PATH, LD_LIBRARY_PATH } = process.env
  return {
    ...(PATH === undefined ? {} : { PATH }),
    ...(LD_LIBRARY_PATH === undefined ? {} : { LD_LIBRARY_PATH }),
    LC_ALL: 'C',
    TZ: 'UTC',
  }
}

/** Has the user of this process a name? initdb asks for it, and containers often run under a bare number. */
export function hasName(): boolean {
  try {
    return userInfo().username !== ''
  } catch {
    return false
  }
}

/**
 * Whom the server of a root process runs as: the owner of the data, of the project, whoever called sudo; else the
 * account made for PostgreSQL; else nobody. It must have a name.
 */
export async function unprivilegedUser(paths: readonly string[]): Promise<User> {
  const accounts = await readAccounts()
  const owners = await Promise.all(paths.map((path) => stat(path).catch(() => undefined)))
  const sudo = Number(process.env['SUDO_UID'])
  const wanted = [...owners.map((owner) => owner?.uid), sudo]
  for (const uid of wanted) {
    const account = accounts.find((entry) => entry.uid === uid)
    if (account !== undefined && account.uid !== 0) return { uid: account.uid, gid: account.gid }
  }
  const named = (name: string): User | undefined => accounts.find((entry) => entry.name === name)
  const { uid, gid } = named('postgres') ?? named('nobody') ?? { uid: 65534, gid: 65534 }
  return { uid, gid }
}

/** Can this user pass through every directory above `path`? By mode bits alone, as access lists are rare. */
export async function reachable(path: string, user: User): Promise<boolean> {
  for (let directory = dirname(path); ; directory = dirname(directory)) {
    const { mode, uid, gid } = await stat(directory)
    const bit = uid === user.uid ? 0o100 : gid === user.gid ? 0o010 : 0o001
    if ((mode & bit) === 0) return false
    if (directory === dirname(directory)) return true
  }
}

async function readAccounts(): Promise<readonly (User & { readonly name: string })[]> {
  const text = await readFile('/etc/passwd', 'utf8').catch(() => '')
  return text
    .split('\n')
    .map((line) => line.split(':'))
    .filter((fields) => fields.length >= 4)
    .map(([name = '', , uid, gid]) => ({ name, uid: Number(uid), gid: Number(gid) }))
}
