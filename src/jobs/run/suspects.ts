/**
 * Jobs of a runner that may have ended their process (engine/tasks/lone.ts). They wait here until no other suspect of the
 * process runs; then one is marked and handed to its station as every job is. Jobs that are no suspects run meanwhile.
 *
 * Those with the fewest deaths go first, so that the one that does it holds up the others no longer than it must. What has
 * waited for a second is given back: other processes may have nothing to do.
 */
import { toError } from '../../core/errors.ts'
import type { Engine } from '../../engine/engine.ts'
import { markAlone } from '../../engine/tasks/lone.ts'
import type { HeldTask } from '../../engine/tasks/task.ts'
import type { Ends } from './ends.ts'
import type { Station } from './station.ts'

interface Suspect {
  readonly task: HeldTask
  readonly ends: Ends
  readonly station: Station
  readonly since: number
}

/** Those that wait here, at most. */
const MAX_HELD = 500
const MAX_WAIT_MS = 1_000
/** Until one that was given back may be claimed again. With a key it waits for nobody: no other process could take it. */
const AGAIN_MS = 1_000

export class Suspects {
  readonly #engine: Engine
  readonly #isCurrent: (station: Station) => boolean
  #waiting: Suspect[] = []
  /** The one that is being marked. */
  #next: Suspect | undefined
  #marking: Promise<boolean> | undefined
  #pumping = false

  constructor(engine: Engine, isCurrent: (station: Station) => boolean) {
    this.#engine = engine
    this.#isCurrent = isCurrent
  }

  *ids(): Iterable<string> {
    for (const { task } of this.#waiting) yield task.id
    if (this.#next !== undefined) yield this.#next.task.id
  }

  /** Resolves when none is on its way to its station. */
  async idle(): Promise<void> {
    await this.#marking
  }

  accept(task: HeldTask, ends: Ends, station: Station): void {
    const suspect = { task, ends, station, since: this.#engine.clock.monotonic() }
    if (task.key === null && this.#waiting.length >= MAX_HELD) {
      giveBack(suspect, AGAIN_MS)
      return
    }
    this.#waiting.push(suspect)
    void this.#pump()
  }

  /** Gives back those of a station that takes no more jobs, or all. */
  clear(station?: Station): void {
    this.#drop(
      (each) => station === undefined || each.station === station,
      (each) => giveBack(each, 0),
    )
  }

  /** Gives back what has waited for too long. */
  yieldHeld(now: number): void {
    this.#drop(
      ({ since }) => now - since > MAX_WAIT_MS,
      (each) => giveBack(each, AGAIN_MS),
    )
  }

  /** Forgets what was claimed under a lease that is no more. */
  lose(): void {
    this.#waiting = []
  }

  #drop(which: (suspect: Suspect) => boolean, drop: (suspect: Suspect) => void): void {
    const gone = this.#waiting.filter(which)
    this.#waiting = this.#waiting.filter((each) => !which(each))
    gone.forEach(drop)
  }

  async #pump(): Promise<void> {
    if (this.#pumping) return
    this.#pumping = true
    // One a turn: those of other queues have theirs between.
    while (this.#waiting.length > 0) await this.#engine.lone.take(() => this.#runNext())
    this.#pumping = false
  }

  async #runNext(): Promise<void> {
    const suspect = this.#takeNext()
    if (suspect === undefined) return
    const { task, ends, station } = suspect
    this.#next = suspect
    this.#marking = this.#mark(suspect)
    const isOurs = await this.#marking
    const isCurrent = this.#isCurrent(station)
    let running: Promise<void> | undefined
    if (isOurs && isCurrent && !ends.lease.signal.aborted) running = station.runAlone(task, ends)
    else giveBack(suspect, isCurrent ? AGAIN_MS : 0)
    this.#next = undefined
    await running
  }

  async #mark({ task, ends }: Suspect): Promise<boolean> {
    const { db, log } = this.#engine
    try {
      return await markAlone(db, ends.lease.id, task)
    } catch (error) {
      log.debug({ err: toError(error) }, 'a job that is to run alone could not be marked')
      return false
    }
  }

  #takeNext(): Suspect | undefined {
    const [first, ...others] = this.#waiting
    if (first === undefined) return undefined
    const next = others.reduce((least, each) => (deaths(each) < deaths(least) ? each : least), first)
    this.#waiting = this.#waiting.filter((each) => each !== next)
    return next
  }
}

function deaths({ task }: Suspect): number {
  return task.errs?.length ?? 0
}

function giveBack({ task: { id, attempt, key, lot }, ends }: Suspect, delay: number): void {
  ends.released.add({ id, attempt, lot, delay: key === null ? delay : 0 })
}
