/** Stopping a server of ours, and leaving one that others use. */
import { systemClock } from '../../../core/clock.ts'
import type { Home } from './home.ts'
import { tryLock, type FileLock } from './locks.ts'
import { findPostmaster } from './postmaster.ts'
import { isAlive } from './process-facts.ts'

const POLL_MS = 5
const LIMITS = { repeatMs: 1_000, immediateAfterMs: 8_000 } as const

/**
 * Asks for a fast shutdown (open transactions are rolled back, everything is written) and waits until the process is
 * gone. One that takes longer than 8 seconds is told to stop at once; that loses nothing and costs the next start a
 * recovery. Rejects with the signal's reason when that aborts first, while the server goes on stopping.
 */
export async function stopServer(
  pid: number,
  signal: AbortSignal,
  { repeatMs, immediateAfterMs }: { readonly repeatMs: number; readonly immediateAfterMs: number } = LIMITS,
): Promise<void> {
  const started = systemClock.monotonic()
  let repeatAt = 0
  while (await isAlive(pid)) {
    const elapsed = systemClock.monotonic() - started
    if (elapsed >= repeatAt) {
      repeatAt = elapsed + repeatMs
      signalServer(pid, elapsed > immediateAfterMs ? 'SIGQUIT' : 'SIGINT')
    }
    await systemClock.sleep(POLL_MS, { signal })
  }
}

/** Call with the start lock held: lets go of `user`, and stops the server if that was the last. */
export async function stopIfUnused(home: Home, user: FileLock, signal: AbortSignal): Promise<void> {
  user.release()
  const alone = await tryLock(home.usersLock, 'exclusive')
  if (alone === undefined) return
  try {
    const found = await findPostmaster(home.data)
    if (found.state === 'none' || found.state === 'stale' || !found.ours) return
    await stopServer(found.pid, signal)
  } finally {
    alone.release()
  }
}

export function signalServer(pid: number, name: 'SIGINT' | 'SIGQUIT' | 'SIGKILL'): void {
  try {
    process.kill(pid, name)
  } catch {
    // It ended in between, which is what was wanted.
  }
}
