/** Keeps log lines of one kind, or of one kind and name, to one in an interval, and counts what was left out. */
import type { Clock } from '../core/clock.ts'
import type { Logger } from './log.ts'

/** At most one line of a kind in this time. */
const INTERVAL_MS = 60_000
/** Names that have a limit of their own; the rest share one, so that names made of ids fill neither memory nor log. */
const MAX_NAMES = 1_000

export class LogLimit {
  readonly #clock: Clock
  readonly #intervalMs: number
  #nextAt = -Infinity
  #suppressed = 0

  /** `intervalMs`: at most one line in so many milliseconds. */
  constructor(clock: Clock, intervalMs: number) {
    this.#clock = clock
    this.#intervalMs = intervalMs
  }

  /** How many lines were left out since the last one, when a line may be written now; undefined when not. */
  take(): number | undefined {
    const now = this.#clock.monotonic()
    if (now < this.#nextAt) {
      this.#suppressed += 1
      return undefined
    }
    const suppressed = this.#suppressed
    this.#nextAt = now + this.#intervalMs
    this.#suppressed = 0
    return suppressed
  }
}

/** A limit for each name. */
export class NamedLogLimits {
  readonly #clock: Clock
  readonly #intervalMs: number
  readonly #limits = new Map<string, LogLimit>()
  readonly #others: LogLimit

  /** `intervalMs`: at most one line of each name in so many milliseconds. */
  constructor(clock: Clock, intervalMs: number) {
    this.#clock = clock
    this.#intervalMs = intervalMs
    this.#others = new LogLimit(clock, intervalMs)
  }

  /** As of LogLimit, for lines of this name. */
  take(name: string): number | undefined {
    return this.#limitOf(name).take()
  }

  #limitOf(name: string): LogLimit {
    const known = this.#limits.get(name)
    if (known !== undefined) return known
    if (this.#limits.size >= MAX_NAMES) return this.#others
    const limit = new LogLimit(this.#clock, this.#intervalMs)
    this.#limits.set(name, limit)
    return limit
  }
}

/** Tells of failures that reach no caller: a line a minute for each name, with how many were left out. */
export function failureLog(
  log: Logger,
  clock: Clock,
): (name: string, fields: object, message: string) => void {
  const limits = new NamedLogLimits(clock, INTERVAL_MS)
  return (name, fields, message) => {
    const suppressed = limits.take(name)
    if (suppressed !== undefined) log.error({ ...fields, suppressed }, message)
  }
}
