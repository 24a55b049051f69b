/**
 * Facts about other processes: is it alive, is it a PostgreSQL server, and on which directory. From /proc on Linux;
 * elsewhere from `ps`, which cannot name the directory.
 *
 * A process id alone proves nothing: it may belong to a zombie, or to another program since.
 */
import { execFile } from 'node:child_process'
import { readdir, readFile, readlink, stat } from 'node:fs/promises'
import { promisify } from 'node:util'

const run = promisify(execFile)

export interface PostgresProcess {
  readonly pid: number
  /** The server itself (or a stand-alone backend); a child of it calls itself "postgres: checkpointer" and so on. */
  readonly isServer: boolean
  readonly command: string
}

/** Is a process with this id running? A zombie is not. */
export async function isAlive(pid: number): Promise<boolean> {
  if (!Number.isSafeInteger(pid) || pid <= 0 || !answersSignal(pid)) return false
  if (process.platform !== 'linux') return true
  // "pid (name, which may hold anything) state …"
  const text = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => '')
  const state = text.charAt(text.lastIndexOf(')') + 2)
  return state !== '' && state !== 'Z' && state !== 'X'
}

/** The PostgreSQL process with this id that works on `dataDir`, if it is one. */
export async function postgresProcess(pid: number, dataDir: string): Promise<PostgresProcess | undefined> {
  if (!(await isAlive(pid))) return undefined
  const command = process.platform === 'linux' ? await linuxCommand(pid, dataDir) : await psCommand(pid)
  return command === undefined ? undefined : { pid, command, isServer: !command.startsWith('postgres: ') }
}

/** All PostgreSQL processes that work on `dataDir`; empty where the system cannot say. */
export async function postgresProcessesOn(dataDir: string): Promise<readonly PostgresProcess[]> {
  if (process.platform !== 'linux') return []
  const names = await readdir('/proc')
  const pids = names.filter((name) => /^\d+$/.test(name)).map(Number)
  const found = await Promise.all(pids.map((pid) => postgresProcess(pid, dataDir)))
  return found.filter((entry) => entry !== undefined)
}

/**
 * Every PostgreSQL process has its data directory as its working directory, and belongs to the directory's owner: a
 * server refuses any other. Directories are compared by inode, as a mount may show them under two names.
 */
async function linuxCommand(pid: number, dataDir: string): Promise<string | undefined> {
  try {
    const [cwd, directory, executable] = await Promise.all([
      stat(`/proc/${pid}/cwd/.`),
      stat(dataDir),
      readlink(`/proc/${pid}/exe`),
    ])
    if (cwd.ino !== directory.ino || cwd.dev !== directory.dev) return undefined
    if (!/\/postgres( \(deleted\))?$/.test(executable)) return undefined
    const command = (await readFile(`/proc/${pid}/cmdline`, 'utf8')).replaceAll('\0', ' ').trim()
    // One that is ending has given up its memory, and with it its arguments, a moment before it is a zombie.
    return command === '' ? undefined : command
  } catch {
    // Gone meanwhile, or another user's and so not a server of this directory.
    return undefined
  }
}

async function psCommand(pid: number): Promise<string | undefined> {
  const { stdout } = await run('ps', ['-p', String(pid), '-o', 'command=']).catch(() => ({ stdout: '' }))
  return /(^|\/)postgres\b/.test(stdout) ? stdout.trim() : undefined
}

function answersSignal(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM'
  }
}
