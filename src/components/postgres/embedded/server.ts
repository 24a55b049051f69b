/** The handle of a running embedded server: who may connect and how, when it ends, and leaving it. */
import type { ChildProcess } from 'node:child_process'
import { open, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { constants } from 'node:fs'
import { systemClock, type Timer } from '../../../core/clock.ts'
import { SluiceError } from '../../../core/errors.ts'
import type { Logger } from '../../../telemetry/log.ts'
import { logSince, startFailure } from './diagnose.ts'
import type { Home } from './home.ts'
import { waitForLock, type FileLock } from './locks.ts'
import { isAlive } from './process-facts.ts'
import type { Runtime } from './runtime.ts'
import { PORT } from './socket-path.ts'
import { stopIfUnused } from './stop.ts'

export interface EmbeddedConnection {
  /** Directory of the Unix socket. */
  readonly host: string
  readonly port: number
  readonly user: string
  readonly database: string
}

export interface EmbeddedInspection {
  readonly version: string
  readonly pid: number
  /** Relative to the working directory. */
  readonly dataDir: string
  /** Of the data directory, when last looked; absent at first. */
  readonly sizeBytes?: number
  /** How root was dropped; absent where the process is not root. */
  readonly rootDropped?: string
  /** Processes that share the server, when last looked. */
  readonly users: number
  readonly running: boolean
}

export interface EmbeddedServer {
  readonly connection: EmbeddedConnection
  /**
   * Leaves the server, and stops it when nobody else uses it. Idempotent; needless once the server has ended. Rejects
   * with the signal's reason when that aborts first: a server that is stopping goes on doing so.
   */
  release(signal: AbortSignal): Promise<void>
  /** Synchronous and cheap. */
  inspect(): EmbeddedInspection
  /**
   * Calls `listener` once when the server ends before `release`, at once when it has. Returns a function that takes it
   * off. Where this process did not start the server it is noticed within a second.
   */
  onExit(listener: (error: Error) => void): () => void
}

export interface Opened {
  readonly home: Home
  readonly runtime: Runtime
  readonly host: string
  readonly pid: number
  /** Undefined where another process started the server. */
  readonly child: ChildProcess | undefined
  readonly user: FileLock
  readonly log: Logger
}

const BEAT_MS = 1_000
/** Beats between looks at sizes. */
const LOOK_EVERY = 60
const LOG_LIMIT = 8_388_608

export async function openServer(opened: Opened): Promise<EmbeddedServer> {
  const server = new Server(opened)
  await server.begin()
  return server
}

class Server implements EmbeddedServer {
  readonly connection: EmbeddedConnection
  readonly #opened: Opened
  readonly #listeners = new Set<(error: Error) => void>()
  readonly #mark: string
  readonly #logFrom: Promise<number>
  #state: 'running' | 'ended' | 'released' = 'running'
  #ended: Error | undefined
  #released: Promise<void> | undefined
  #beat: Timer | undefined
  #beats = 0
  #sizeBytes: number | undefined
  #users = 1

  constructor(opened: Opened) {
    const { home, host } = opened
    this.connection = Object.freeze({ host, port: PORT, user: 'postgres', database: 'postgres' })
    this.#opened = opened
    this.#mark = join(home.users, String(process.pid))
    this.#logFrom = sizeOf(home.log)
  }

  async begin(): Promise<void> {
    await writeFile(this.#mark, '').catch(() => {})
    const { child } = this.#opened
    if (child?.exitCode === null && child.signalCode === null) {
      child.once('exit', () => void this.#noticeEnd())
    }
    await this.#look()
    this.#scheduleBeat()
  }

  release(signal: AbortSignal): Promise<void> {
    this.#released ??= this.#release(signal)
    return this.#released
  }

  inspect(): EmbeddedInspection {
    const { home, runtime, pid } = this.#opened
    return {
      version: runtime.version,
      pid,
      dataDir: relative(process.cwd(), home.data) || '.',
      ...(this.#sizeBytes === undefined ? {} : { sizeBytes: this.#sizeBytes }),
      ...(runtime.rootDropped === undefined ? {} : { rootDropped: runtime.rootDropped }),
      users: this.#users,
      running: this.#state === 'running',
    }
  }

  onExit(listener: (error: Error) => void): () => void {
    if (this.#ended !== undefined) listener(this.#ended)
    else this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  async #release(signal: AbortSignal): Promise<void> {
    const { home, user, log } = this.#opened
    const ended = this.#state === 'ended'
    this.#state = 'released'
    this.#beat?.cancel()
    this.#listeners.clear()
    if (ended) return
    try {
      const startLock = await waitForLock(home.startLock, signal)
      try {
        await rm(this.#mark, { force: true })
        await stopIfUnused(home, user, signal)
      } finally {
        startLock.release()
      }
    } finally {
      user.release()
    }
    log.debug({ dataDir: home.directory }, 'embedded PostgreSQL released')
  }

  #scheduleBeat(): void {
    if (this.#state !== 'running') return
    this.#beat = systemClock.setTimer(() => void this.#onBeat(), BEAT_MS, { keepAlive: false })
  }

  async #onBeat(): Promise<void> {
    this.#beats++
    if (!(await isAlive(this.#opened.pid))) return this.#noticeEnd()
    if (this.#beats % LOOK_EVERY === 1) await this.#look()
    this.#scheduleBeat()
  }

  async #noticeEnd(): Promise<void> {
    if (this.#state !== 'running') return
    this.#state = 'ended'
    this.#beat?.cancel()
    const { home, log, user } = this.#opened
    // Whoever needs the next server acquires it; this handle counts among the users of none.
    user.release()
    const said = await logSince(home.log, await this.#logFrom).catch(() => '')
    const failure = startFailure('PostgreSQL ended', said, home)
    const error =
      failure.code === 'SLUICE_STORE_FAILED'
        ? new SluiceError('SLUICE_UNAVAILABLE', failure.message, { retryable: true })
        : failure
    this.#ended = error
    for (const listener of this.#listeners) {
      try {
        listener(error)
      } catch (thrown) {
        log.error({ err: thrown }, 'a listener of the end of the embedded PostgreSQL threw')
      }
    }
    this.#listeners.clear()
  }

  /** Counts users and bytes for `inspect`, and keeps the log bounded. Never fails: these are for people. */
  async #look(): Promise<void> {
    const { home } = this.#opened
    try {
      this.#users = await countUsers(home)
      if ((await sizeOf(home.log)) > LOG_LIMIT) await empty(home.log)
      if (this.#beats > 0) this.#sizeBytes = await sizeOfTree(home.data)
    } catch {
      // The next look tells more.
    }
  }
}

/** Marks of processes that were killed are removed on the way. */
async function countUsers(home: Home): Promise<number> {
  const pids = await readdir(home.users)
  const alive = await Promise.all(pids.map((pid) => isAlive(Number(pid))))
  await Promise.all(
    pids.filter((_, index) => !alive[index]).map((pid) => rm(join(home.users, pid), { force: true })),
  )
  return alive.filter(Boolean).length
}

/** The server appends, so that it goes on at the new end. */
async function empty(path: string): Promise<void> {
  const file = await open(path, constants.O_WRONLY | constants.O_NOFOLLOW)
  try {
    await file.truncate(0)
  } finally {
    await file.close()
  }
}

async function sizeOf(path: string): Promise<number> {
  return stat(path).then(
    ({ size }) => size,
    () => 0,
  )
}

async function sizeOfTree(directory: string): Promise<number> {
  const names = await readdir(directory, { recursive: true })
  let total = 0
  // A few at a time: there are a thousand files, and other work waits for the same four threads.
  for (let index = 0; index < names.length; index += 16) {
    const sizes = await Promise.all(
      names.slice(index, index + 16).map((name) => sizeOf(join(directory, name))),
    )
    for (const size of sizes) total += size
  }
  return total
}
