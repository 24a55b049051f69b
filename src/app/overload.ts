/**
 * Is the process overwhelmed? Two signs, sampled a few times a second and read for free: the event loop is late, and
 * memory is nearly used up. While either holds, new requests are turned away with 503 and Retry-After, so that those
 * which were accepted still end in time.
 *
 * One long task alone is no overload: the delay is averaged with a cap, so that two samples in a row must be over the
 * limit. Memory has its own hysteresis, for a process at its limit would otherwise swing with each collection.
 */
import { getHeapSpaceStatistics, getHeapStatistics } from 'node:v8'

export interface OverloadLimits {
  /** Milliseconds that the event loop may be late. */
  readonly maxLoopDelayMs: number
  /** Share of the memory limit that may be used, 0 to 1. */
  readonly maxMemory: number
}

export interface MemoryUse {
  /** Share of the cgroup's or machine's memory, 0 to 1. */
  readonly resident: number
  /** Share of what V8's old generation may hold, whose end is the end of the process; 0 to 1. */
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
  return {
    // Zero, or an absurd number, where no limit is set: then the machine itself is the limit, and not ours to guard.
    resident: allowed > 0 && allowed < Number.MAX_SAFE_INTEGER ? process.memoryUsage.rss() / allowed : 0,
    heap: oldGenerationUse(),
  }
}

/** V8's limit counts the young generation in, so that a heap of 256 MB ended the process at 57 % of it. */
function oldGenerationUse(): number {
  const { heap_size_limit: limit } = getHeapStatistics()
  let used = 0
  for (const { space_name: name, space_used_size: bytes } of getHeapSpaceStatistics()) {
    if (!name.startsWith('new_')) used += bytes
  }
  // Never less than half, should another version of V8 keep less for the young.
  return Math.min(1, used / Math.max(limit / 2, limit - youngLimit()))
}

/** Three semi-spaces of 64 MB, unless the command line says otherwise; V8 does not tell. */
function youngLimit(): number {
  const words = [...process.execArgv, process.env['NODE_OPTIONS'] ?? ''].join(' ')
  const [, megabytes = '64'] = /--max[-_]semi[-_]space[-_]size[= ](\d+)/.exec(words) ?? []
  return 3 * Number(megabytes) * 2 ** 20
}
