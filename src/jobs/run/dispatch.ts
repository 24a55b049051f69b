/** Where a task that was claimed goes: to the station of its name, beside others or alone, or to another process. */
import { isSuspect } from '../../engine/tasks/lone.ts'
import type { HeldTask } from '../../engine/tasks/task.ts'
import type { Ends } from './ends.ts'
import type { QueueRunnerOptions } from './runner-options.ts'
import type { Stations } from './stations.ts'
import type { Suspects } from './suspects.ts'

export interface DispatchHost {
  readonly stations: Stations
  readonly suspects: Suspects
  readonly report: (error: Error, what: string) => void
}

/** Where a task without a handler is left to others, it is so for half of its age, at least and at most: */
export const UNKNOWN_MIN_MS = 1_000
const UNKNOWN_MAX_MS = 300_000

export class Dispatch {
  readonly #options: QueueRunnerOptions
  readonly #host: DispatchHost
  #unknown = 0

  constructor(options: QueueRunnerOptions, host: DispatchHost) {
    this.#options = options
    this.#host = host
  }

  /** Tasks that were left to others, having no handler here. */
  get unknown(): number {
    return this.#unknown
  }

  /** `isCurrent`: those who claimed it still want it. */
  give(task: HeldTask, ends: Ends, isCurrent: boolean): void {
    const { queueName, engine } = this.#options
    const { stations, suspects } = this.#host
    const station = stations.find(task.name ?? queueName)
    if (station !== undefined && isCurrent) {
      if (isSuspect(task)) suspects.accept(task, ends, station)
      else station.accept(task, ends)
      return
    }
    const { id, attempt, lot } = task
    if (!isCurrent || stations.size === 0) {
      ends.released.add({ id, attempt, lot, delay: 0 })
      return
    }
    this.left(task.name ?? queueName, 1)
    const age = engine.clock.now() - task.made
    const delay = Math.min(UNKNOWN_MAX_MS, Math.max(UNKNOWN_MIN_MS, age / 2))
    ends.released.add({ id, attempt, lot, delay })
  }

  left(name: string, count: number): void {
    this.#unknown += count
    this.#options.onUnknown(count)
    const error = new Error(`no handler for jobs called "${name}" in this process`)
    this.#host.report(error, 'a job is left to other processes')
  }
}
