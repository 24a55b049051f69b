/** Events that wait for their time or their turn: published when due, in one transaction with the end of their tasks. */
import { isSluiceError, toError } from '../core/errors.ts'
import type { Engine } from '../engine/engine.ts'
import { letGoWhenIdle } from '../engine/let-go.ts'
import { publishEvents, type NewEvent } from '../engine/log/publish.ts'
import { LOG } from '../engine/log/reader.ts'
import type { Topics } from '../engine/log/topics.ts'
import { ackTasks } from '../engine/tasks/finish.ts'
import type { HeldTask } from '../engine/tasks/task.ts'
import type { Lease } from '../engine/worker/worker.ts'
import type { Logger } from '../telemetry/log.ts'
import { TaskLoop, type TaskEnd } from './task-loop.ts'

/** Queue of events that wait. */
export const LATER_QUEUE = 'events/later'
/** Published at once, where their bodies are small: a claim has a limit of bytes as well. */
const SIZE = 500

/** What of the event is not the task's own. */
export interface LaterHead {
  readonly version: number
  readonly key: string | undefined
  readonly head: string | undefined
}

export function laterLoop(engine: Engine, log: Logger, topics: Topics, queue: number): TaskLoop {
  return new TaskLoop({
    engine,
    log,
    queue,
    concurrency: 1,
    size: SIZE,
    isSuspect: () => false,
    run: (tasks, lease) => new Due(engine, log, topics, lease).publish(tasks),
  })
}

/**
 * No failure counts against an event: it was acknowledged, and what hinders its publishing is the database. One that hinders
 * the others is left behind them.
 */
class Due {
  readonly #engine: Engine
  readonly #log: Logger
  readonly #topics: Topics
  readonly #lease: Lease

  constructor(engine: Engine, log: Logger, topics: Topics, lease: Lease) {
    this.#engine = engine
    this.#log = log
    this.#topics = topics
    this.#lease = lease
  }

  async publish(tasks: readonly HeldTask[]): Promise<readonly TaskEnd[]> {
    const error = await this.#together(tasks)
    if (error === undefined) return tasks.map(() => ENDED)
    if (tasks.length === 1 || (isSluiceError(error) && error.retryable)) {
      this.#log.warn({ err: error }, 'events that are due could not be published, and are tried again')
      return tasks.map(() => LEFT)
    }
    const ends: TaskEnd[] = []
    for (const task of tasks) ends.push(...(await this.publish([task])))
    return ends
  }

  /** Why none of them is published. */
  async #together(tasks: readonly HeldTask[]): Promise<Error | undefined> {
    try {
      const events = await Promise.all(tasks.map((task) => eventOf(task, this.#topics)))
      await this.#engine.db.transaction(
        async (tx) => {
          await publishEvents(tx, events)
          const [ours] = await Promise.all([ackTasks(tx, tasks, this.#lease.id), letGoWhenIdle(tx)])
          if (ours.size < tasks.length) throw new Error('these events belong to another process by now')
        },
        { label: 'sluice.publish.later' },
      )
      this.#engine.wake.signal(LOG)
      return undefined
    } catch (error) {
      return toError(error)
    }
  }
}

const ENDED: TaskEnd = { end: 'ended' }
const LEFT: TaskEnd = { end: 'left' }

async function eventOf(task: HeldTask, topics: Topics): Promise<NewEvent> {
  const { version, key, head } = JSON.parse(task.head ?? '{}') as LaterHead
  return { topic: await topics.id(task.name ?? ''), version, key, head, body: task.body ?? '' }
}
