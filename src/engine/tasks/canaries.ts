/**
 * Dead letters are put back a few first, and the rest only when those do not mostly fail again: whatever broke them may
 * still be broken, and thousands of attempts against it help nobody.
 */
import type { Engine } from '../engine.ts'

export interface PutBack {
  /** Of the task that it is now. */
  readonly id: string
  /** When it was put back, by the database's clock, as text. */
  readonly at: string
}

export interface Redrive {
  /** Of all of them. */
  readonly limit: number
  /** Put back first; 0 for all at once. */
  readonly canary: number
  /** Puts back at most so many, the oldest first, and none of `without`. */
  readonly putBack: (limit: number, without: readonly string[]) => Promise<readonly PutBack[]>
}

export interface Redriven {
  readonly redriven: number
  /** More than half of the canaries failed again: the rest stayed dead. */
  readonly stopped: boolean
}

/** Between two looks at the canaries, growing up to the second. */
const LOOK_MS = 50
const MAX_LOOK_MS = 1_000

/**
 * in: $1 ids, $2 when they were put back
 * out: id, and whether it failed since, of those that are not done; the rest is
 */
const CANARIES = `
select id, coalesce((errs -> -1 ->> 'at')::timestamptz >= $2::timestamptz, false) as failed
from sluice.task where id = any($1::bigint[])
union all select id, true from sluice.dead where id = any($1::bigint[])`

/** Until the signal aborts the canaries are waited for. */
export async function redriveByCanaries(
  engine: Engine,
  { limit, canary, putBack }: Redrive,
  signal: AbortSignal,
): Promise<Redriven> {
  if (canary === 0 || limit <= canary) {
    const all = await putBack(limit, [])
    return { redriven: all.length, stopped: false }
  }
  const first = await putBack(canary, [])
  if (first.length < canary) return { redriven: first.length, stopped: false }
  if (await mostFail(engine, first, signal)) return { redriven: first.length, stopped: true }
  // A canary that failed again and lies among the dead is not to be put back twice.
  const done = first.map(({ id }) => id)
  const rest = await putBack(limit - first.length, done)
  return { redriven: first.length + rest.length, stopped: false }
}

/** Resolves as soon as it is certain. */
async function mostFail(engine: Engine, canaries: readonly PutBack[], signal: AbortSignal): Promise<boolean> {
  const ids = canaries.map(({ id }) => id)
  const since = canaries[0]?.at
  const failed = new Set<string>()
  for (let wait = LOOK_MS; ; wait = Math.min(MAX_LOOK_MS, wait * 1.5)) {
    const open = await engine.db.query<{ id: string; failed: boolean }>(CANARIES, [ids, since], {
      idempotent: true,
      label: 'sluice.canaries',
      signal,
    })
    for (const row of open) if (row.failed) failed.add(row.id)
    if (failed.size * 2 > ids.length) return true
    const undecided = open.filter(({ id }) => !failed.has(id)).length
    if ((failed.size + undecided) * 2 <= ids.length) return false
    await engine.clock.sleep(wait, { signal })
  }
}
