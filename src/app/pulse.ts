/**
 * Samples the event loop and the memory of this process a few times a second, for the decision in overload.ts, and
 * says in the log when the loop hung, and when requests begin or cease to be turned away.
 */
import { memoryUse, type Overload, type OverloadReason } from './overload.ts'
import type { Logger } from '../telemetry/log.ts'

const LOOP_SAMPLE_MS = 100
const MEMORY_EVERY = 10
/** A loop that was late by this much is worth a line of its own. */
const STALL_MS = 1_000

export interface PulseOptions {
  readonly overload: Overload | undefined
  readonly log: Logger
  /** Are stalls of the event loop reported by somebody who can see where it hangs? */
  readonly othersSeeStalls: () => boolean
}

/** Samples until the returned function is called. Uses real time: it is the real loop that is measured. */
export function startPulse(options: PulseOptions): () => void {
  const { overload, log, othersSeeStalls } = options
  let expected = performance.now() + LOOP_SAMPLE_MS
  let count = 0
  let last: OverloadReason | undefined
  const timer = setInterval(() => {
    const now = performance.now()
    const late = Math.max(0, now - expected)
    expected = now + LOOP_SAMPLE_MS
    if (late >= STALL_MS && !othersSeeStalls()) {
      log.warn({ durationMs: Math.round(late) }, 'the event loop was blocked')
    }
    if (overload === undefined) return
    overload.loopWasLate(late)
    if (count++ % MEMORY_EVERY === 0) overload.memoryIs(memoryUse())
    const { reason } = overload
    if (reason !== last) reportTurn(log, reason)
    last = reason
  }, LOOP_SAMPLE_MS)
  timer.unref()
  return () => clearInterval(timer)
}

function reportTurn(log: Logger, reason: OverloadReason | undefined): void {
  if (reason === undefined) log.info({}, 'requests are taken again')
  else log.warn({ reason }, `overloaded (${reason}): requests are turned away`)
}
