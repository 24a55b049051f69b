/** Events that wait for their time or their turn: published when due, in one transaction with the end of their tasks. */
import { toError } from '../core/errors.ts'
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
const RETRY_MS = 1_000

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
    run: async (tasks, lease) => {
      const end = await publishDue(engine, log, topics, tasks, lease)
      return tasks.map(() => end)
    },
  })
}

async function publishDue(
  engine: Engine,
  log: Logger,
  topics: Topics,
  tasks: readonly HeldTask[],
  lease: Lease,
): Promise<TaskEnd> {
  try {
    const events = await Promise.all(tasks.map((task) => eventOf(task, topics)))
    await engine.db.transaction(
      async (tx) => {
        await publishEvents(tx, events)
        const [ours] = await Promise.all([ackTasks(tx, tasks, lease.id), letGoWhenIdle(tx)])
        if (ours.size < tasks.length) throw new Error('these events belong to another process by now')
      },
      { label: 'sluice.publish.later' },
    )
    engine.wake.signal(LOG)
    return { end: 'ended' }
  } catch (error) {
    log.warn({ err: toError(error) }, 'events that are due could not be published, and are tried again')
    return { end: 'failed', delayMs: RETRY_MS, error: toError(error).message }
  }
}

async function eventOf(task: HeldTask, topics: Topics): Promise<NewEvent> {
  const { version, key, head } = JSON.parse(task.head ?? '{}') as LaterHead
  return { topic: await topics.id(task.name ?? ''), version, key, head, body: task.body ?? '' }
}
