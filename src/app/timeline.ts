/** What happened to the components of an app, in order, as far back as is kept: data for a page, and lines in the log. */
import { phaseError, type Phase } from './phase.ts'
import type { Clock } from '../core/clock.ts'
import type { Logger } from '../telemetry/log.ts'
import { NamedLogLimits } from '../telemetry/log-limit.ts'

/** One step of the start-up, in the order in which things happened. */
export interface TimelineEntry {
  /** Milliseconds since the app began to start. */
  readonly at: number
  readonly component: string
  readonly state: Phase['state']
}

/** Entries of the timeline that are kept; a flapping component pushes the oldest out. */
const MAX_ENTRIES = 200
const LOG_EVERY_MS = 60_000

export class Timeline {
  readonly #clock: Clock
  readonly #log: Logger
  readonly #beganAt: number
  readonly #entries: TimelineEntry[] = []
  readonly #limits: NamedLogLimits

  constructor(clock: Clock, log: Logger) {
    this.#clock = clock
    this.#log = log
    this.#limits = new NamedLogLimits(clock, LOG_EVERY_MS)
    this.#beganAt = clock.monotonic()
  }

  get entries(): readonly TimelineEntry[] {
    return this.#entries
  }

  /** `connectMs`: how long the connect took, where it has just succeeded. */
  add(component: string, phase: Phase, connectMs: number | undefined): void {
    const last = this.#entries.findLast((entry) => entry.component === component)
    if (last?.state !== phase.state) {
      const at = Math.round(this.#clock.monotonic() - this.#beganAt)
      this.#entries.push({ at, component, state: phase.state })
      if (this.#entries.length > MAX_ENTRIES) this.#entries.shift()
    }
    this.#tell(component, phase, connectMs)
  }

  /** At most one line a minute and component while it is away, however often it is tried. */
  #tell(component: string, phase: Phase, connectMs: number | undefined): void {
    if (phase.state === 'failed' || phase.state === 'degraded') {
      const suppressed = this.#limits.take(component)
      if (suppressed === undefined) return
      const retry =
        phase.state === 'failed' ? { attempt: phase.attempt, retryMs: Math.round(phase.retryMs) } : {}
      this.#log.warn(
        { component, state: phase.state, ...retry, suppressed, err: phaseError(phase) },
        `${component} is ${phase.state}`,
      )
    } else if (phase.state === 'ready') {
      const line = { component, ...(connectMs !== undefined && { durationMs: Math.round(connectMs) }) }
      // A component that flaps says so once a minute, like its failures.
      if (this.#limits.take(`${component} ready`) !== undefined) this.#log.info(line, `${component} is ready`)
    }
  }
}
