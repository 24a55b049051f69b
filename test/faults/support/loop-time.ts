/**
 * Time as the event loop of this process has it: a gap in which the machine ran something else counts as one tick. What
 * happens in this process within so many milliseconds on an idle machine does so on a busy one, by this measure.
 * It never runs faster than the clock.
 */
const TICK_MS = 10

export interface LoopTime {
  /** Milliseconds since it began. */
  now(): number
}

export function startLoopTime(): LoopTime {
  let turned = 0
  let last = performance.now()
  const count = (): number => {
    const now = performance.now()
    turned += Math.min(now - last, 2 * TICK_MS)
    last = now
    return turned
  }
  setInterval(count, TICK_MS).unref()
  return { now: count }
}
