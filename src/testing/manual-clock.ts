/** A clock that moves only when told, so that timeouts, back-off and batches are tested without waiting. */
import { sleepOn, type Clock, type Timer } from '../core/clock.ts'

interface Pending {
  readonly at: number
  readonly order: number
  readonly fn: () => void
}

export class ManualClock implements Clock {
  #now: number
  #monotonic = 0
  #order = 0
  readonly #pending = new Set<Pending>()

  /** `start`: what `now()` says at first, in milliseconds since 1970. */
  constructor(start = Date.UTC(2026, 0, 1)) {
    this.#now = start
  }

  now(): number {
    return this.#now
  }

  monotonic(): number {
    return this.#monotonic
  }

  /** Timers that wait. */
  get pending(): number {
    return this.#pending.size
  }

  setTimer(fn: () => void, ms: number): Timer {
    const entry: Pending = { at: this.#monotonic + Math.max(0, ms), order: this.#order++, fn }
    this.#pending.add(entry)
    return { cancel: () => void this.#pending.delete(entry) }
  }

  sleep(ms: number, options?: { readonly signal?: AbortSignal }): Promise<void> {
    return sleepOn(this, ms, options)
  }

  /** Moves time on, firing what falls due in order; promise callbacks run in between. */
  async advance(ms: number): Promise<void> {
    const target = this.#monotonic + ms
    await settle()
    for (let next = this.#next(target); next !== undefined; next = this.#next(target)) {
      this.#moveTo(Math.max(next.at, this.#monotonic))
      this.#pending.delete(next)
      next.fn()
      await settle()
    }
    this.#moveTo(target)
    await settle()
  }

  /** Makes the wall clock jump without any time passing, as an operator or NTP would. */
  jump(ms: number): void {
    this.#now += ms
  }

  #moveTo(monotonic: number): void {
    this.#now += monotonic - this.#monotonic
    this.#monotonic = monotonic
  }

  #next(until: number): Pending | undefined {
    let first: Pending | undefined
    for (const entry of this.#pending) {
      if (entry.at > until) continue
      if (first === undefined || entry.at < first.at || (entry.at === first.at && entry.order < first.order))
        first = entry
    }
    return first
  }
}

/** Lets every promise callback that is due run: one turn of the event loop drains the whole microtask queue. */
function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
