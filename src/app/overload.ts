/**
 * Is the process overwhelmed? Two signs, sampled a few times a second and read for free: the event loop is late, and
 * memory is nearly used up. While either holds, new requests are turned away with 503 and Retry-After, so that those
 * which were accepted still end in time.
 *
 * One long task alone is no overload: the delay is averaged with a cap, so that two samples in a row must be over the
 * limit. Memory has its own hysteresis, for a process at its limit would otherwise swing with each collection.
 */
import { getHeapStatistics } from 'node:v8'

export interface OverloadLimits {
  /** Milliseconds that the event loop may be late. */
  readonly maxLoopDelayMs: number
  /** Share of the memory limit that may be used, 0 to 1. */
  readonly maxMemory: number
}

export interface MemoryUse {
  /** Share of the cgroup's or machine's memory, 0 to 1. */
  readonly resident: number
  /** Share of V8's heap limit, 0 to 1. */
  readonly heap: number
}

export type OverloadReason = 'event loop' | 'memory'

/** Below the limit by this much before requests are taken again. */
const MEMORY_RELIEF = 0.05

/** The decision alone, a function of what was measured, so that it can be tested without a busy process. */
export class Overload {
  readonly #limits: OverloadLimits
  #delayMs = 0
  #memoryTight = false

  constructor(limits: OverloadLimits) {
    this.#limits = limits
  }

  /** Average lateness of the event loop in milliseconds. */
  get delayMs(): number {
    return this.#delayMs
  }

  get reason(): OverloadReason | undefined {
    if (this.#memoryTight) return 'memory'
    return this.#delayMs > this.#limits.maxLoopDelayMs ? 'event loop' : undefined
  }

  loopWasLate(ms: number): void {
    const capped = Math.min(ms, this.#limits.maxLoopDelayMs * 1.5)
    this.#delayMs = (this.#delayMs + capped) / 2
  }

  memoryIs(use: MemoryUse): void {
    const highest = Math.max(use.resident, use.heap)
    const limit = this.#memoryTight ? this.#limits.maxMemory - MEMORY_RELIEF : this.#limits.maxMemory
    this.#memoryTight = highest > limit
  }
}

/** What this process uses of what it may. */
export function memoryUse(): MemoryUse {
  const allowed = process.constrainedMemory()
  const heap = getHeapStatistics()
  return {
    // Zero, or an absurd number, where no limit is set: then the machine itself is the limit, and not ours to guard.
    resident: allowed > 0 && allowed < Number.MAX_SAFE_INTEGER ? process.memoryUsage.rss() / allowed : 0,
    heap: heap.used_heap_size / heap.heap_size_limit,
  }
}

export const LOOP_SAMPLE_MS = 100
const MEMORY_EVERY = 10
/** A loop that was late by this much is worth a line of its own. */
export const STALL_MS = 1_000

export interface PulseOptions {
  readonly overload: Overload | undefined
  /** The loop did not turn for so many milliseconds. */
  readonly onStall: (ms: number) => void
  /** The process began, or ceased, to turn requests away. */
  readonly onTurn: (reason: OverloadReason | undefined) => void
}

/** Samples until the returned function is called. Uses real time: it is the real loop that is measured. */
export function startPulse(options: PulseOptions): () => void {
  const { overload, onStall, onTurn } = options
  let expected = performance.now() + LOOP_SAMPLE_MS
  let count = 0
  let last: OverloadReason | undefined
  const timer = setInterval(() => {
    const now = performance.now()
    const late = Math.max(0, now - expected)
    expected = now + LOOP_SAMPLE_MS
    if (late >= STALL_MS) onStall(late)
    if (overload === undefined) return
    overload.loopWasLate(late)
    if (count++ % MEMORY_EVERY === 0) overload.memoryIs(memoryUse())
    const { reason } = overload
    if (reason !== last) onTurn(reason)
    last = reason
  }, LOOP_SAMPLE_MS)
  timer.unref()
  return () => clearInterval(timer)
}
