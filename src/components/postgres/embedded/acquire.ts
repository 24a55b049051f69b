/**
 * The embedded PostgreSQL server, shared by all processes of an app on one machine.
 *
 *     acquire: lock start ─▶ join the users ─▶ running? adopt it : (make the data directory,) start it ─▶ unlock
 *     release: lock start ─▶ leave the users ─▶ nobody left? stop it ─▶ unlock            (server.ts)
 *
 * Both locks are held by the kernel and end with their process (locks.ts), so a process that is killed leaves nothing
 * to clean up but the server itself, which the next one adopts. The server is a process of its own: it outlives the
 * one that started it for as long as anybody uses it.
 *
 * A living server that sluice did not start is never touched: SLUICE_STORE_LOCKED names it.
 * Waits are for real processes and run on real time, whatever clock the app was given.
 */
import { SluiceError } from '../../../core/errors.ts'
import { findBinaries } from './binaries.ts'
import { openHome, storeFailure } from './home.ts'
import { tryLock, waitForLock } from './locks.ts'
import type { EmbeddedOptions, Progress } from './options.ts'
import { findRunning } from './running.ts'
import { findRuntime } from './runtime.ts'
import { openServer, type EmbeddedServer } from './server.ts'
import { socketDirectory, socketIn } from './socket-path.ts'
import { startOrRemake } from './start.ts'
import { stopIfUnused } from './stop.ts'

/** To stop what a failed start left. */
const STOP_LIMIT_MS = 10_000

/**
 * Joins the users of the app's server, starting it when it does not run. Rejects with SLUICE_MISSING_PEER,
 * SLUICE_STORE_FAILED, SLUICE_STORE_LOCKED, SLUICE_STORE_CORRUPT, SLUICE_STORE_FULL or the signal's reason, and leaves
 * nothing behind then.
 */
export async function acquireEmbeddedServer(
  options: EmbeddedOptions,
  signal: AbortSignal,
  progress: Progress = () => {},
): Promise<EmbeddedServer> {
  signal.throwIfAborted()
  const started = options.clock.monotonic()
  const appDir = process.cwd()
  const home = await openHome(options.dataDir, appDir, options.appName)
  const startLock = await waitForLock(home.startLock, signal)
  try {
    const user = await tryLock(home.usersLock, 'shared')
    if (user === undefined) {
      throw new SluiceError('SLUICE_STORE_LOCKED', `${home.usersLock} is held by another program`)
    }
    try {
      const runtime = await findRuntime(
        home,
        await findBinaries(options.binDir, appDir),
        appDir,
        options.rootWays,
      )
      const host = await socketDirectory(home.data)
      const running = await findRunning(home, socketIn(host), signal)
      const { pid, child } =
        running === undefined
          ? await startOrRemake({ home, runtime, socket: socketIn(host), options }, signal, progress)
          : { pid: running, child: undefined }
      const ms = Math.round(options.clock.monotonic() - started)
      options.log.info(
        { dataDir: home.directory, serverPid: pid, version: runtime.version, ms },
        child === undefined ? 'embedded PostgreSQL found running' : 'embedded PostgreSQL started',
      )
      progress(1)
      return await openServer({ home, runtime, host, pid, child, user, log: options.log })
    } catch (error) {
      await stopIfUnused(home, user, AbortSignal.timeout(STOP_LIMIT_MS)).catch(() => {})
      throw error
    }
  } catch (error) {
    const ofFileSystem = error instanceof Error && 'syscall' in error && !signal.aborted
    throw ofFileSystem ? storeFailure(`${home.directory} cannot be used`, error) : error
  } finally {
    startLock.release()
  }
}
