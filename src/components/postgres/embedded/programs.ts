/** Runs initdb and postgres as child processes. */
import { spawn, type ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { appendFile, chown, constants, mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { onAbort } from '../../../core/abort.ts'
import { startFailure } from './diagnose.ts'
import { storeFailure, type Home } from './home.ts'
import { childEnvironment, commandAs, reachable } from './privilege.ts'
import { majorOf, type Runtime } from './runtime.ts'
import { defaultSettings, fixedSettings, initdbArguments } from './settings.ts'

const OUTPUT_LIMIT = 8_192
const LOG_LIMIT = 1_048_576
const MAKING = /^initdb-[0-9a-f]{12}$/

/**
 * Makes the data directory, whole or not at all: initdb works in a directory of its own, syncs it, and only then it
 * gets its name. A process that is killed meanwhile leaves a directory that the next start removes.
 */
export async function createDataDirectory(home: Home, runtime: Runtime, signal: AbortSignal): Promise<void> {
  await removeUnfinished(home)
  const making = join(home.directory, `initdb-${randomBytes(6).toString('hex')}`)
  try {
    await mkdir(making, { mode: 0o700 })
    const { runAs } = runtime
    if (runAs.way === 'setuid') await chown(making, runAs.uid, runAs.gid)
    const major = majorOf(runtime.version)
    const { file, args, options } = commandAs(runAs, runtime.binaries.initdb, [
      '-D',
      await nameFor(making, runtime),
      ...initdbArguments(major),
    ])
    const child = spawn(file, args, {
      ...options,
      cwd: making,
      env: childEnvironment(),
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const { failure, output } = await finished(child, signal)
    if (failure !== undefined) throw startFailure(`initdb ended with ${failure}`, output, home)
    await appendFile(join(making, 'postgresql.conf'), defaultSettings(major))
    await sync(join(making, 'postgresql.conf'))
    await rename(making, home.data)
    await sync(home.directory)
  } catch (error) {
    await rm(making, { recursive: true, force: true }).catch(() => {})
    if (error instanceof Error && 'syscall' in error) throw storeFailure(`${making} cannot be written`, error)
    throw error
  }
}

/** Starts the server as a process of its own that outlives this one; its output goes to the log file, from byte `logFrom` on. */
export async function spawnServer(
  home: Home,
  runtime: Runtime,
  { appName, durable = true }: { readonly appName: string; readonly durable?: boolean | undefined },
): Promise<{ readonly child: ChildProcess; readonly logFrom: number }> {
  const { size } = await stat(home.log).catch(() => ({ size: 0 }))
  if (size > LOG_LIMIT) await rename(home.log, `${home.log}.1`)
  const { O_WRONLY, O_APPEND, O_CREAT, O_NOFOLLOW } = constants
  const log = await open(home.log, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW, 0o600)
  try {
    const { size: logFrom } = await log.stat()
    const { file, args, options } = commandAs(runtime.runAs, runtime.binaries.postgres, [
      '-D',
      await nameFor(home.data, runtime),
      ...fixedSettings(appName, durable),
    ])
    const child = spawn(file, args, {
      ...options,
      cwd: home.data,
      env: childEnvironment(),
      // A session of its own: Ctrl-C on the terminal is for the app, which stops the server itself.
      detached: true,
      stdio: ['ignore', log.fd, log.fd],
    })
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve)
      child.once('error', reject)
    })
    child.unref()
    return { child, logFrom }
  } finally {
    await log.close()
  }
}

/** The name of a directory for a child that starts in it and may not be able to reach it by its path. */
async function nameFor(directory: string, { runAs }: Runtime): Promise<string> {
  if (runAs.way !== 'setuid' || (await reachable(directory, runAs))) return directory
  return '/proc/self/cwd'
}

async function removeUnfinished(home: Home): Promise<void> {
  const left = (await readdir(home.directory)).filter((name) => MAKING.test(name))
  // An initdb whose parent was killed may still be writing there: what cannot be removed now goes next time.
  await Promise.allSettled(
    left.map((name) => rm(join(home.directory, name), { recursive: true, force: true })),
  )
}

async function finished(
  child: ChildProcess,
  signal: AbortSignal,
): Promise<{ readonly failure: string | undefined; readonly output: string }> {
  let output = ''
  const collect = (chunk: Buffer): void => {
    output = (output + chunk.toString('utf8')).slice(-OUTPUT_LIMIT)
  }
  child.stdout?.on('data', collect)
  child.stderr?.on('data', collect)
  const release = onAbort(signal, () => child.kill('SIGTERM'))
  try {
    const failure = await new Promise<string | undefined>((resolve, reject) => {
      child.once('error', reject)
      child.once('close', (code, killed) => resolve(code === 0 ? undefined : (killed ?? `exit code ${code}`)))
    })
    signal.throwIfAborted()
    return { failure, output }
  } finally {
    release()
  }
}

async function sync(path: string): Promise<void> {
  const file = await open(path, 'r')
  try {
    await file.sync()
  } finally {
    await file.close()
  }
}
