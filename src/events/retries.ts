/** Deliveries that are tasks by now: each is tried again when it is due, by any process that has the subscription. */
import { backoffMs } from '../core/backoff.ts'
import { hasCode, SluiceError, toError } from '../core/errors.ts'
import { errorText } from '../engine/error-text.ts'
import { letGoWhenIdle } from '../engine/let-go.ts'
import { patternsOf } from '../engine/log/reads.ts'
import type { SpilledHead } from '../engine/log/spill.ts'
import { moment } from '../engine/moments.ts'
import { ackTasks } from '../engine/tasks/finish.ts'
import type { HeldTask } from '../engine/tasks/task.ts'
import type { Lease } from '../engine/worker/worker.ts'
import { StoredEvent } from './decode.ts'
import { coversPatterns } from './pattern.ts'
import type { SubscriberParts } from './parts.ts'
import { TaskLoop, type TaskEnd } from './task-loop.ts'
import { inTransaction } from './transaction.ts'

export function retryLoop(parts: SubscriberParts): TaskLoop {
  const { engine, log, spec, row } = parts
  return new TaskLoop({
    engine,
    log,
    queue: row.queue,
    concurrency: spec.transaction || spec.handler.kind !== 'single' ? 1 : spec.concurrency,
    size: 1,
    // Each attempt that had an answer left an error.
    isSuspect: ({ attempt, errs }) => attempt > (errs?.length ?? 0) + 1,
    run: async ([task], lease, signal) =>
      task === undefined ? [] : [await runTask(parts, task, lease, signal)],
  })
}

/** Of a topic that this program does not know: a program that does may have it, or it is read no more. */
async function endOfUnknown(parts: SubscriberParts, event: StoredEvent): Promise<TaskEnd> {
  const { engine, log, spec, row } = parts
  try {
    const reads = await patternsOf(engine.db, row.id)
    if (reads !== undefined && coversPatterns(reads, [event.topic])) return { end: 'left' }
  } catch (error) {
    log.debug({ err: toError(error) }, 'what the subscription reads could not be looked up')
    return { end: 'left' }
  }
  const error = notRead(event.topic)
  log.error({ err: error, subscription: spec.name, eventId: event.row.id }, 'a delivery is a dead letter now')
  return { end: 'failed', delayMs: -1, error: errorText(error) }
}

/** Why a delivery is a dead letter that no program takes. */
export function notRead(topic: string): SluiceError {
  return new SluiceError('SLUICE_INVALID_DATA', `the subscription does not read "${topic}" any more`)
}

/** The event as it was in the log. */
export function eventOfTask(task: Pick<HeldTask, 'name' | 'body' | 'head'>): StoredEvent {
  const { id, version, at, key, head } = JSON.parse(task.head ?? '{}') as SpilledHead
  return new StoredEvent({ id, topic: 0, version, at, key, head, body: task.body }, task.name ?? '')
}

async function runTask(
  parts: SubscriberParts,
  task: HeldTask,
  lease: Lease,
  signal: AbortSignal,
): Promise<TaskEnd> {
  const { engine, spec, attempts } = parts
  const event = eventOfTask(task)
  const { attempt } = task
  if (!spec.matches(event.topic)) return endOfUnknown(parts, event)
  let error: Error | undefined
  try {
    if (spec.transaction) {
      error = await inTransaction({ engine, spec, label: 'sluice.deliver', signal }, async (tx) => {
        const [failure] = await attempts.run([event], { attempt, signal, tx })
        if (failure !== undefined) throw failure
        const [ours] = await Promise.all([ackTasks(tx, [task], lease.id), letGoWhenIdle(tx)])
        if (ours.size === 0) throw new Error('the delivery belongs to another process by now')
      })
    } else [error] = await attempts.run([event], { attempt, signal })
  } catch (thrown) {
    error = toError(thrown)
  }
  if (error === undefined) {
    moment('events.handled', 1)
    parts.delivered.add(1)
    return { end: spec.transaction ? 'ended' : 'done' }
  }
  // It was given up, and has done nothing wrong.
  if (signal.aborted) return { end: 'released' }
  const isLast = attempt >= task.max_attempt || hasCode(error, 'SLUICE_INVALID_DATA')
  if (isLast) {
    parts.log.error(
      { err: error, subscription: spec.name, eventId: event.row.id, attempt },
      'an event could not be delivered, and is a dead letter now',
    )
  }
  return {
    end: 'failed',
    delayMs: isLast ? -1 : backoffMs(attempt, engine.random(), spec.backoff),
    error: errorText(error),
  }
}
