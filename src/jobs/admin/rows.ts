/** Jobs as they lie in the tables, and as they are shown. */
import { invalidArgument } from '../../core/errors.ts'
import { parseTraceparent } from '../../telemetry/trace.ts'
import type { DeadLetter, JobError, JobInfo, JobState } from '../api.ts'

export interface JobRow {
  readonly id: string
  readonly queue: string
  readonly name: string | null
  readonly state: JobState
  readonly attempt: number
  readonly max_attempt: number
  readonly prio: number | null
  readonly key: string | null
  readonly grp: string | null
  readonly run_at: Date | null
  readonly made: Date
  readonly body: string | null
  readonly head: string | null
  readonly errs: readonly { at: string; attempt: number; error: string }[] | null
  readonly prog: string | null
  readonly result: string | null
  readonly died: Date | null
  readonly why: string | null
}

/** Columns of `t`, a row of sluice.task or sluice.dead, in the order of the interface; `q` is its queue. */
export function columns(state: string, died: string, why: string): string {
  return `t.id::text as id, q.name as queue, t.name, ${state} as state, t.attempt, t.max_attempt, t.prio, t.key, t.grp,
    t.run_at, t.made, t.body, t.head, t.errs, t.prog, null::text as result, ${died} as died, ${why} as why`
}

export function toInfo(row: JobRow): JobInfo {
  return {
    id: row.id,
    name: row.name ?? row.queue,
    state: row.state,
    attempt: row.attempt,
    maxAttempts: row.max_attempt,
    priority: row.prio ?? 5,
    key: row.key ?? undefined,
    group: row.grp ?? undefined,
    runAt: row.run_at ?? row.made,
    enqueuedAt: row.made,
    data: parse(row.body),
    progress: toProgress(row.prog),
    result: parse(row.result),
    errors: (row.errs ?? []).map(({ at, attempt, error }): JobError => ({
      at: new Date(at),
      attempt,
      error,
    })),
    traceId: traceIdOf(row.head),
  }
}

export function toDeadLetter(row: JobRow): DeadLetter {
  return { ...toInfo(row), diedAt: row.died ?? row.made, why: row.why ?? '' }
}

/** Throws SLUICE_INVALID_ARGUMENT. */
export function checkId(id: unknown): string {
  if (typeof id === 'string' && /^\d{1,18}$/.test(id)) return id
  throw invalidArgument('id', 'the id of a job, a text of digits', id)
}

/** What is not JSON (nobody but a database's owner can have put it there) is shown as text. */
function parse(text: string | null): unknown {
  if (text === null) return undefined
  try {
    return JSON.parse(text) as unknown
  } catch {
    return text
  }
}

function toProgress(text: string | null): JobInfo['progress'] {
  const value = parse(text)
  if (typeof value !== 'object' || value === null || !('fraction' in value)) return undefined
  const note = 'note' in value && typeof value.note === 'string' ? value.note : undefined
  return { fraction: Number(value.fraction), note }
}

function traceIdOf(head: string | null): string | undefined {
  const carried = parse(head)
  if (typeof carried !== 'object' || carried === null || !('traceparent' in carried)) return undefined
  return parseTraceparent(String(carried.traceparent))?.traceId
}
