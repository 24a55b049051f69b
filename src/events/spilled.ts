/** A delivery that left its cursor, as the tables have it: one that waits for another attempt, or a dead letter. */
import type { SpilledHead } from '../engine/log/spill.ts'
import type { TaskError } from '../engine/tasks/task.ts'
import { parseTraceparent } from '../telemetry/trace.ts'
import type { DeadEvent, WaitingEvent } from './api.ts'
import type { EventHead } from './encode.ts'

export interface SpilledRow {
  readonly id: string
  readonly subscription: string
  readonly topic: string
  readonly attempt: number
  readonly body: string | null
  readonly head: string | null
  readonly errs: readonly TaskError[] | null
}

/** What both say of the event. */
export function spilledEvent(row: SpilledRow): Pick<DeadEvent, keyof DeadEvent & keyof WaitingEvent> {
  const stored = JSON.parse(row.head ?? '{}') as SpilledHead
  const head = parse(stored.head) as EventHead | undefined
  return {
    id: row.id,
    eventId: stored.id,
    subscription: row.subscription,
    topic: row.topic,
    key: stored.key ?? undefined,
    data: parse(row.body),
    attempt: row.attempt,
    errors: (row.errs ?? []).map(({ at, attempt, error }) => ({ at: new Date(at), attempt, error })),
    traceId: parseTraceparent(head?.t)?.traceId,
    publishedAt: new Date(stored.at),
  }
}

/** What is no JSON is shown as it is. */
function parse(text: string | null): unknown {
  if (text === null) return undefined
  try {
    return JSON.parse(text) as unknown
  } catch {
    return text
  }
}
