/** Finds the server that runs on a directory, and clears away what a dead one left. */
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { systemClock } from '../../../core/clock.ts'
import { SluiceError } from '../../../core/errors.ts'
import type { Home } from './home.ts'
import { answers, findPostmaster } from './postmaster.ts'
import { isAlive } from './process-facts.ts'
import { socketIn } from './socket-path.ts'
import { signalServer, stopServer } from './stop.ts'

const POLL_MS = 5

/**
 * The id of our server when it is ready; undefined when none runs and one may be started. Waits in between. Call with
 * the start lock held. `thorough` looks for a server without a postmaster.pid as well. Rejects with
 * SLUICE_STORE_LOCKED.
 */
export async function findRunning(
  home: Home,
  socket: string,
  signal: AbortSignal,
  thorough = false,
): Promise<number | undefined> {
  for (let searching = thorough; ;) {
    signal.throwIfAborted()
    const found = await findPostmaster(home.data, searching)
    if (found.state === 'none' || found.state === 'stale') {
      if (await answers(socket)) {
        // Either its postmaster.pid is gone, or its process id is one of another container that shares the volume.
        if (searching) throw locked(home, 'in another container')
        searching = true
        continue
      }
      await clearAway(home, found.state === 'stale' ? found.orphans : [], signal)
      return undefined
    }
    if (!found.ours) throw locked(home, `with process id ${found.pid}`)
    if (found.state === 'ready' && (await answers(socket))) return found.pid
    // Stopping for its last user, or no longer to be reached since its files were removed: it has to go first.
    if (found.state === 'starting') await systemClock.sleep(POLL_MS, { signal })
    else await stopServer(found.pid, signal)
  }
}

function locked(home: Home, where: string): SluiceError {
  return new SluiceError(
    'SLUICE_STORE_LOCKED',
    `${home.data} is in use by a PostgreSQL server that sluice did not start, ${where}`,
    {
      hint: 'Stop that server, choose another directory with dataDir, or set POSTGRES_DSN to use it.',
      details: { dataDir: home.data },
    },
  )
}

/**
 * No server runs. Children that have not noticed hold its shared memory, and with it the directory. PostgreSQL's own
 * lock files would be judged by it from the process id alone, and it takes a zombie, or whoever has that id now, for
 * a server.
 */
async function clearAway(home: Home, orphans: readonly number[], signal: AbortSignal): Promise<void> {
  for (const pid of orphans) signalServer(pid, 'SIGKILL')
  for (const pid of orphans) {
    while (await isAlive(pid)) await systemClock.sleep(POLL_MS, { signal })
  }
  const socket = socketIn(home.data)
  for (const file of [join(home.data, 'postmaster.pid'), `${socket}.lock`, socket])
    await rm(file, { force: true })
}
