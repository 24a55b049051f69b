/**
 * The last writes before a stop. A sink that stores nothing is not waited for to the end: what waits is lost by no stop, since
 * the stored cursor is before it and the source sends it again. So the stop is in order, and the log says what it left.
 */
import { SluiceError } from '../core/errors.ts'
import { addUp } from './counters.ts'
import type { PartContext } from './contract.ts'
import type { Lanes } from './lanes/lanes.ts'
import { streamIdText } from './stream-id.ts'

/** Without anything stored for so long, it is given up. Longer than a write and its repetition take. */
const PATIENCE_MS = 5_000
/** What the app gives it, less what it takes to say so. */
const LIMIT_MS = 14_000

/** Resolves when all is stored, or nothing more is to be expected. Rejects when `signal` aborts. */
export async function drainLanes(
  lanes: Lanes,
  { clock, log, name }: Pick<PartContext, 'clock' | 'log' | 'name'>,
  signal: AbortSignal,
): Promise<void> {
  const over = new AbortController()
  const giveUp = new AbortController()
  const startedMs = clock.monotonic()
  const watch = async (): Promise<void> => {
    for (let before = -1, now = storedOf(lanes); now !== before; now = storedOf(lanes)) {
      before = now
      const leftMs = startedMs + LIMIT_MS - clock.monotonic()
      if (leftMs <= 0) break
      await clock.sleep(Math.min(PATIENCE_MS, leftMs), { signal: over.signal })
    }
    giveUp.abort(new SluiceError('SLUICE_TIMEOUT', 'nothing is stored any more', { retryable: true }))
  }
  const watching = watch().catch(() => {})
  try {
    await lanes.drain(AbortSignal.any([signal, giveUp.signal]))
  } catch (error) {
    if (!giveUp.signal.aborted || signal.aborted) throw error
    const { cursor, held } = lanes
    log.warn(
      {
        changes: held,
        messages: waitingOf(lanes),
        cursor: cursor === undefined ? null : streamIdText(cursor),
      },
      `${name}: stops with messages that the sink did not take; the source sends them again, from the cursor on`,
    )
  } finally {
    over.abort()
    await watching
  }
}

/** Messages that are done with: it grows while the sink works. */
function storedOf(lanes: Lanes): number {
  const { processed, dead } = addUp(lanes.lanes.map(({ counters }) => counters))
  return processed + dead
}

function waitingOf(lanes: Lanes): number {
  const { received, processed, skipped, dead, returned } = addUp(lanes.lanes.map(({ counters }) => counters))
  return received - processed - skipped - dead - returned
}
