/**
 * Expressions as the database has them, which another process may have written: a newer Node.js knows time zones that
 * this one does not. What cannot be read here stops its own schedule, in this process alone, and is told: in the log at
 * once and now and then after that, and in `problem` of its status until it can be read or has changed.
 */
import type { Clock } from '../core/clock.ts'
import { toError } from '../core/errors.ts'
import type { Logger } from '../telemetry/log.ts'
import { LogLimit } from '../telemetry/log-limit.ts'
import { parseExpression, type Expression } from './expression.ts'
import type { GaugeCell } from '../telemetry/metric.ts'

/** Between two lines about one schedule. */
const TELL_AGAIN_MS = 600_000

/** A schedule as it stands in the database. */
export interface Written {
  readonly name: string
  readonly expression: string
  readonly timezone: string
}

interface Unreadable {
  readonly written: Written
  readonly limit: LogLimit
  problem: string
}

export class Expressions {
  readonly #clock: Clock
  readonly #log: Logger
  readonly #count: GaugeCell
  readonly #parsed = new Map<string, Expression>()
  readonly #unreadable = new Map<string, Unreadable>()

  /** `count`: how many cannot be read. */
  constructor(clock: Clock, log: Logger, count: GaugeCell) {
    this.#clock = clock
    this.#log = log
    this.#count = count
  }

  /** Names of schedules that cannot be read here. */
  get unreadable(): ReadonlySet<string> {
    return new Set(this.#unreadable.keys())
  }

  /** Why the schedule cannot be read here. */
  problem(name: string): string | undefined {
    return this.#unreadable.get(name)?.problem
  }

  /** What `compute` makes of the expression; undefined where it cannot be read, which has been told then. */
  with<T>(written: Written, compute: (expression: Expression) => T): T | undefined {
    try {
      const computed = compute(this.#parse(written))
      this.#unreadable.delete(written.name)
      this.#count.set(this.#unreadable.size)
      return computed
    } catch (error) {
      this.#tell(written, toError(error))
      return undefined
    }
  }

  /** Sees what has changed, so that a problem is known before its schedule is due, and forgotten when it is over. */
  look(written: Written): void {
    const known = this.#unreadable.get(written.name)
    if (known === undefined || !isSame(known.written, written)) this.with(written, () => {})
  }

  /** Forgets those that are not there any more. */
  keepOnly(names: readonly string[]): void {
    const there = new Set(names)
    for (const known of [this.#parsed, this.#unreadable])
      for (const name of known.keys()) if (!there.has(name)) known.delete(name)
    this.#count.set(this.#unreadable.size)
  }

  #parse({ name, expression, timezone }: Written): Expression {
    const known = this.#parsed.get(name)
    if (known?.text === expression && known.timezone === timezone) return known
    const parsed = parseExpression(`schedule "${name}"`, expression, timezone)
    this.#parsed.set(name, parsed)
    return parsed
  }

  #tell(written: Written, error: Error): void {
    const { name } = written
    const known = this.#unreadable.get(name)
    const limit =
      known !== undefined && isSame(known.written, written)
        ? known.limit
        : new LogLimit(this.#clock, TELL_AGAIN_MS)
    this.#unreadable.set(name, { written, limit, problem: error.message })
    this.#count.set(this.#unreadable.size)
    if (limit.take() === undefined) return
    const text = `schedule "${name}" as it stands in the database cannot be read here, so this process starts no slot of it`
    this.#log.error({ schedule: name, err: error }, text)
  }
}

function isSame(one: Written, other: Written): boolean {
  return one.expression === other.expression && one.timezone === other.timezone
}
