/**
 * Deadlines of many calls on one timer.
 *
 * A `setTimeout` and its clearing cost about 250 ns a call, a quarter of what a whole operation may cost. Here an entry
 * is linked into the list of its duration (entries of one duration fall due in the order they came, so both adding and
 * removing are O(1)), and one timer looks at the heads of the lists every 50 ms, or when the next entry falls due if
 * that is earlier. An entry is therefore never early and as late as the timer itself, not a tick later.
 *
 * The timer runs only while entries wait, and for at most one tick longer.
 */
import type { Clock, Timer } from './clock.ts'

/** What waits. The fields belong to `Deadlines`; set them to undefined in the constructor so that shapes stay equal. */
export interface DeadlineEntry {
  /** Monotonic milliseconds. */
  deadlineAt: number
  deadlineList: DeadlineList | undefined
  deadlinePrevious: DeadlineEntry | undefined
  deadlineNext: DeadlineEntry | undefined
  /** Called once when the deadline has passed; the entry is out of the list by then. Must not throw. */
  deadlinePassed(): void
}

/** Entries of one duration, the earliest first. */
export interface DeadlineList {
  readonly durationMs: number
  first: DeadlineEntry | undefined
  last: DeadlineEntry | undefined
}

const TICK_MS = 50

export class Deadlines {
  readonly #clock: Clock
  readonly #lists = new Map<number, DeadlineList>()
  #latestList: DeadlineList | undefined
  #timer: Timer | undefined
  #fireAt = Infinity
  readonly #fire = (): void => this.#run()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Entries fall due `durationMs` after `now`, which is the clock's monotonic time. */
  add(entry: DeadlineEntry, durationMs: number, now: number): void {
    const list = this.#listOf(durationMs)
    entry.deadlineAt = now + durationMs
    entry.deadlineList = list
    entry.deadlinePrevious = list.last
    entry.deadlineNext = undefined
    if (list.last === undefined) list.first = entry
    else list.last.deadlineNext = entry
    list.last = entry
    if (entry.deadlineAt < this.#fireAt) this.#arm(Math.min(durationMs, TICK_MS), now)
  }

  /** Takes the entry out; does nothing when it is in no list. */
  remove(entry: DeadlineEntry): void {
    const list = entry.deadlineList
    if (list === undefined) return
    const { deadlinePrevious: previous, deadlineNext: next } = entry
    if (previous === undefined) list.first = next
    else previous.deadlineNext = next
    if (next === undefined) list.last = previous
    else next.deadlinePrevious = previous
    entry.deadlineList = undefined
    entry.deadlinePrevious = undefined
    entry.deadlineNext = undefined
  }

  #listOf(durationMs: number): DeadlineList {
    const latest = this.#latestList
    if (latest !== undefined && latest.durationMs === durationMs) return latest
    let list = this.#lists.get(durationMs)
    if (list === undefined) {
      list = { durationMs, first: undefined, last: undefined }
      this.#lists.set(durationMs, list)
    }
    this.#latestList = list
    return list
  }

  #arm(ms: number, now: number): void {
    this.#timer?.cancel()
    this.#fireAt = now + ms
    this.#timer = this.#clock.setTimer(this.#fire, ms)
  }

  #run(): void {
    this.#timer = undefined
    this.#fireAt = Infinity
    const now = this.#clock.monotonic()
    for (const list of this.#lists.values()) {
      for (let entry = list.first; entry !== undefined && entry.deadlineAt <= now; entry = list.first) {
        this.remove(entry)
        entry.deadlinePassed()
      }
    }
    // What deadlinePassed() added has armed the timer for itself; here the earliest of all decides.
    const next = this.#earliest()
    if (next === undefined) return
    const wait = Math.min(Math.max(next - now, 0), TICK_MS)
    if (now + wait < this.#fireAt) this.#arm(wait, now)
  }

  /** When the first entry falls due. Empty lists are forgotten here, so that odd durations do not pile up. */
  #earliest(): number | undefined {
    let earliest: number | undefined
    for (const [durationMs, list] of this.#lists) {
      if (list.first === undefined) {
        this.#lists.delete(durationMs)
        if (this.#latestList === list) this.#latestList = undefined
        continue
      }
      if (earliest === undefined || list.first.deadlineAt < earliest) earliest = list.first.deadlineAt
    }
    return earliest
  }
}
