/** Starts the server of a directory on which none runs, making its database first where there is none. */
import type { ChildProcess } from 'node:child_process'
import { readFile, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { systemClock } from '../../../core/clock.ts'
import { hasCode, SluiceError } from '../../../core/errors.ts'
import { logSince, startFailure } from './diagnose.ts'
import { checkData, letThrough, type Home } from './home.ts'
import type { EmbeddedOptions, Progress } from './options.ts'
import { createDataDirectory, spawnServer } from './programs.ts'
import { findRunning } from './running.ts'
import { majorOf, type Runtime } from './runtime.ts'
import { stopServer } from './stop.ts'
import { findWalDamage } from './wal-check.ts'

const POLL_MS = 5
const STARTS = 3
/** To stop what was aborted while it started. */
const STOP_LIMIT_MS = 10_000
/** A file of this name lets the next start recover from a damaged log. It counts once. */
const RECOVER_ANYWAY = 'recover-anyway'

export interface StartRequest {
  readonly home: Home
  readonly runtime: Runtime
  readonly socket: string
  readonly options: EmbeddedOptions
}

export interface Running {
  readonly pid: number
  /** Undefined where another process started it. */
  readonly child: ChildProcess | undefined
}

/** What may be lost is made anew when it is damaged. */
export async function startOrRemake(
  request: StartRequest,
  signal: AbortSignal,
  progress: Progress,
): Promise<Running> {
  try {
    return await start(request, signal, progress)
  } catch (error) {
    if (request.options.durable !== false || !hasCode(error, 'SLUICE_STORE_CORRUPT')) throw error
    await rm(request.home.data, { recursive: true, force: true })
    return start(request, signal, progress)
  }
}

async function start(request: StartRequest, signal: AbortSignal, progress: Progress): Promise<Running> {
  const { home, runtime, socket, options } = request
  if (runtime.runAs.way === 'setuid') await letThrough(home, runtime.runAs)
  const made = await readFile(join(home.data, 'PG_VERSION'), 'utf8').catch(() => undefined)
  if (made === undefined) {
    await refuseEmptied(home)
    progress(0.1, 'creating the database')
    await createDataDirectory(home, runtime, signal)
  } else if (Number.parseInt(made, 10) !== majorOf(runtime.version)) {
    throw wrongVersion(home, made.trim(), runtime)
  }
  await checkData(home, runtime.runAs.way === 'setuid' ? runtime.runAs.uid : (process.getuid?.() ?? 0))
  if (made !== undefined) await refuseDamagedLog(home, options, signal)
  progress(0.8, 'starting PostgreSQL')
  for (let attempt = 1; ; attempt++) {
    const { child, logFrom } = await spawnServer(home, runtime, options)
    const pid = child.pid ?? 0
    try {
      if (await untilReady(home, child, signal)) return { pid, child }
    } catch (error) {
      // It may be too young to have written its postmaster.pid, by which others find it, and to heed the first request.
      await stopServer(pid, AbortSignal.timeout(STOP_LIMIT_MS)).catch(() => {})
      throw error
    }
    const said = await logSince(home.log, logFrom)
    // Children of a killed server, or a server without its postmaster.pid: found only by looking for them.
    const contested = /pre-existing shared memory block|is another (postmaster|postgres)/i.test(said)
    if (!contested || attempt === STARTS) throw startFailure('PostgreSQL did not start', said, home)
    const running = await findRunning(home, socket, signal, true)
    if (running !== undefined) return { pid: running, child: undefined }
  }
}

/** False when it ended instead. */
async function untilReady(home: Home, child: ChildProcess, signal: AbortSignal): Promise<boolean> {
  for (;;) {
    signal.throwIfAborted()
    if (child.exitCode !== null || child.signalCode !== null) return false
    const lines = (await readFile(join(home.data, 'postmaster.pid'), 'latin1').catch(() => '')).split('\n')
    if (Number(lines[0]) === child.pid && lines[7]?.trim() === 'ready') return true
    await systemClock.sleep(POLL_MS, { signal })
  }
}

/** A data directory without PG_VERSION is not a new one: initdb works elsewhere, so something was lost here. */
async function refuseEmptied(home: Home): Promise<void> {
  if ((await stat(home.data).catch(() => undefined)) === undefined) return
  throw new SluiceError('SLUICE_STORE_CORRUPT', `${home.data} holds no PG_VERSION: it lost files`, {
    hint: 'Nothing was changed. Restore a backup, or move the directory away to start empty.',
    details: { dataDir: home.data },
  })
}

/** PostgreSQL would start, and lose in silence what was committed behind the damage. The owner may choose that. */
async function refuseDamagedLog(home: Home, { log }: EmbeddedOptions, signal: AbortSignal): Promise<void> {
  const damaged = await findWalDamage(home.data, signal)
  if (damaged === undefined) return
  const consent = join(home.directory, RECOVER_ANYWAY)
  if ((await stat(consent).catch(() => undefined)) !== undefined) {
    await rm(consent)
    log.warn(
      { dataDir: home.data, damaged },
      'embedded PostgreSQL recovers without the log behind the damage',
    )
    return
  }
  throw new SluiceError(
    'SLUICE_STORE_CORRUPT',
    `the log in ${join(home.data, 'pg_wal')} is damaged at ${damaged}`,
    {
      hint: `Nothing was changed. Copy the directory, then restore a backup; or create the empty file ${consent} to start without what was committed after ${damaged}.`,
      details: { dataDir: home.data, damaged },
    },
  )
}

function wrongVersion(home: Home, made: string, { version, binaries }: Runtime): SluiceError {
  return new SluiceError(
    'SLUICE_STORE_FAILED',
    `${home.data} was made by PostgreSQL ${made}, and ${binaries.postgres} is ${version}`,
    {
      hint: `Install the version that fits, dump with its pg_dump, move the directory away and restore into the new one.`,
      details: { dataDir: home.data },
    },
  )
}
