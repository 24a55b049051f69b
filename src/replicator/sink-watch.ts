/**
 * Looks whether the sink is back while its breaker is open.
 *
 *     breaker opens ──► wait ──► sink.check ──refused──► wait (up to 2 s, jittered)
 *                                    │ answered
 *                                    └──► one batch as a probe, at once ──failed──► wait twice as long as the last time
 *
 * The timeout of the breaker is how long batches are held back at most. To hold them that long after the sink has come
 * back would only let more of them gather, so it is asked with what costs it nothing. Where it answers and the
 * batch fails all the same, the looks get rarer, up to that timeout.
 */
import { onAbort, waitOrAbort } from '../core/abort.ts'
import { backoffMs } from '../core/backoff.ts'
import type { Clock } from '../core/clock.ts'
import { SluiceError } from '../core/errors.ts'
import type { Breaker } from '../policy/breaker.ts'

export interface SinkWatchOptions {
  readonly clock: Clock
  readonly random: () => number
  readonly breaker: Breaker
  readonly check: (signal: AbortSignal) => Promise<void>
  /** The breaker lets a batch in: to be called for. */
  readonly onBack: () => void
  /** Of the breaker. */
  readonly timeoutMs: number
}

const LOOK = { baseMs: 250, capMs: 2_000 }
/** A sink that does not answer a look within this is not back. */
const LOOK_LIMIT_MS = 3_000

/** Looks until the breaker is closed, or `signal` aborts. Never rejects. */
export async function watchSink(options: SinkWatchOptions, signal: AbortSignal): Promise<void> {
  const { clock, random, breaker, onBack, timeoutMs } = options
  let looks = 0
  let probes = 0
  while (!signal.aborted && breaker.state.kind !== 'closed') {
    looks += 1
    const again = backoffMs(looks, random(), LOOK)
    const rarer = probes === 0 ? 0 : Math.min(timeoutMs, LOOK.baseMs * 2 ** probes)
    await clock.sleep(Math.max(again, rarer), { signal, keepAlive: false }).catch(() => {})
    if (signal.aborted || breaker.state.kind !== 'open') continue
    if (!(await answers(options, signal))) continue
    if (stateOf(breaker) !== 'open') continue
    probes += 1
    breaker.hasten()
    onBack()
  }
}

async function answers({ clock, check }: SinkWatchOptions, signal: AbortSignal): Promise<boolean> {
  const limit = new AbortController()
  const timer = clock.setTimer(
    () => limit.abort(new SluiceError('SLUICE_TIMEOUT', `no answer within ${LOOK_LIMIT_MS} ms`)),
    LOOK_LIMIT_MS,
    { keepAlive: false },
  )
  const release = onAbort(signal, (reason) => limit.abort(reason))
  try {
    await waitOrAbort(check(limit.signal), limit.signal)
    return true
  } catch {
    return false
  } finally {
    release()
    timer.cancel()
  }
}

/** Read through a function: the compiler would take a state that was looked at once for constant. */
function stateOf(breaker: Breaker): Breaker['state']['kind'] {
  return breaker.state.kind
}
