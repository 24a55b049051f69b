/**
 * Deliveries that failed become tasks of their subscription's queue, so that its cursor moves on; or dead letters, where
 * no attempt is left. A task is unique by
 * the event, so that one which is read again after a crash makes no second one.
 */
import { STATEMENT_TIMEOUT_MS, type Queryable, type Transaction } from '../database.ts'
import { refusalText } from '../refusal.ts'
import { writeApart } from './apart.ts'
import type { CursorOwner } from './cursor.ts'
import type { EventRow } from './window.ts'

export interface Spilled {
  readonly row: EventRow
  readonly topic: string
  /** Attempts so far. */
  readonly attempt: number
  readonly maxAttempt: number
  /** Milliseconds until the next. */
  readonly delayMs: number
  /** Of the attempts so far; none for one that only waits behind another of its key. */
  readonly errors: readonly { readonly attempt: number; readonly error: string }[]
  /** Its key is kept in order. */
  readonly ordered: boolean
  /** No attempt is left: why it is a dead letter at once. */
  readonly why?: string | undefined
}

/** The event as the head of its task tells of it. */
export interface SpilledHead {
  readonly id: string
  readonly version: number
  readonly at: number
  readonly key: string | null
  readonly head: string | null
}

/** The most that the column holds: what stands in front of something that is away for days has more attempts. */
const MAX_ATTEMPT = 32_767
const stored = (attempt: number): number => Math.min(attempt, MAX_ATTEMPT)

const ERRORS = `(select jsonb_agg(jsonb_build_object('at', clock_timestamp(), 'attempt', f.attempt, 'error', left(f.error, 4000)))
      from json_to_recordset(a.errors) as f(attempt smallint, error text))`

/**
 * in: $1 json array; $2 queue; $3 ref, $4 shard, $5 owner, $6 epoch of the subscription's shard
 * out: held: is the shard still its owner's; made: unique names of the new tasks
 * effect: rows of sluice.task, where it is; of sluice.dead for those that have a reason
 *
 * A dead letter has no unique name in its table: one that is read again after a crash is looked for among the young ones.
 */
const SPILL = `
with own as materialized (
  select from sluice.lease where kind = 's' and ref = $3 and shard = $4 and owner = $5 and epoch = $6 for share),
a as materialized (
  select * from json_to_recordset($1::json) as a(n int, topic text, attempt smallint, max_attempt smallint,
    delay float8, key text, uniq text, body text, head text, errors json, why text)),
gone as (
  insert into sluice.dead (id, queue, prio, name, shard, attempt, max_attempt, run_at, made, key, uniq, body, head, errs, why)
  select nextval(pg_get_serial_sequence('sluice.task', 'id')), $2, 5, a.topic, $4, a.attempt, a.max_attempt, clock_timestamp(),
    clock_timestamp(), a.key, a.uniq, a.body, a.head, ${ERRORS}, left(a.why, 4000)
  from own, a where why is not null and not exists (
    select from sluice.dead d where d.queue = $2 and d.died > clock_timestamp() - interval '1 hour' and d.uniq = a.uniq)
  order by n),
ins as (
  insert into sluice.task (queue, name, shard, attempt, max_attempt, run_at, made, xid, key, uniq, body, head, errs)
  select $2, a.topic, $4, a.attempt, a.max_attempt, clock_timestamp() + a.delay * interval '1 ms', clock_timestamp(),
    case when a.key is not null then pg_current_xact_id() end, a.key, a.uniq, a.body, a.head,
    ${ERRORS}
  from own, a where why is null order by n
  on conflict (queue, uniq) where uniq is not null do nothing
  returning uniq)
select exists (select from own) as held, array(select uniq from ins) as made`

/**
 * Ids of the events that are tasks now and were none before. Undefined where the shard is another's by now: nothing was
 * written.
 */
export async function spillEvents(
  db: Queryable,
  queue: number,
  cursor: CursorOwner,
  events: readonly Spilled[],
): Promise<ReadonlySet<string> | undefined> {
  const tasks = events.map(({ row, topic, attempt, maxAttempt, delayMs, errors, ordered, why }, n) => {
    const head: SpilledHead = { id: row.id, version: row.version, at: row.at, key: row.key, head: row.head }
    return {
      n,
      topic,
      attempt: stored(attempt),
      max_attempt: stored(maxAttempt),
      delay: delayMs,
      key: ordered ? row.key : null,
      uniq: `e${row.id}`,
      body: row.body,
      head: JSON.stringify(head),
      errors: errors.map((each) => ({ ...each, attempt: stored(each.attempt) })),
      why,
    }
  })
  const answer = await db.queryOne<{ held: boolean; made: string[] }>(
    SPILL,
    [JSON.stringify(tasks), queue, cursor.ref, cursor.shard, cursor.owner, cursor.epoch],
    { label: 'sluice.spill', idempotent: false, timeout: STATEMENT_TIMEOUT_MS },
  )
  return answer?.held === true ? new Set(answer.made.map((uniq) => uniq.slice(1))) : undefined
}

/** The same where the database refused them together: one that it refuses by itself is written without the texts of its errors. */
export async function spillApart(
  tx: Transaction,
  queue: number,
  cursor: CursorOwner,
  events: readonly Spilled[],
  onRefused: (event: Spilled, error: Error) => void,
): Promise<ReadonlySet<string> | undefined> {
  const spill = (some: readonly Spilled[]): Promise<ReadonlySet<string> | undefined> =>
    tx.transaction((part) => spillEvents(part, queue, cursor, some))
  const answers = await writeApart(events, spill, (event, error) => {
    onRefused(event, error)
    return spill([withoutTexts(event, refusalText('the error of a delivery', error))])
  })
  const made = new Set<string>()
  for (const ids of answers) {
    if (ids === undefined) return undefined
    for (const id of ids) made.add(id)
  }
  return made
}

/** As many errors as there were: what has fewer than attempts is taken for one that ended its process. */
function withoutTexts(event: Spilled, text: string): Spilled {
  return {
    ...event,
    errors: event.errors.map(({ attempt }) => ({ attempt, error: text })),
    why: event.why === undefined ? undefined : text,
  }
}
