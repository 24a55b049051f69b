/**
 * Puts tasks into the table: one statement for a batch, inside or outside of a transaction.
 *
 * The client sorts unique ones by queue and name, so that overlapping batches lock their rows in one order and cannot
 * deadlock. Answers come back by position; null says that a task with that unique name was there already.
 */
import type { Queryable } from '../database.ts'
import type { NewTask } from './task.ts'

/**
 * in: $1 json array of tasks
 * out: id, queue, uniq of those that were put in, in the order of the array
 * effect: rows of sluice.task
 *
 * The transaction has its id before the sequence hands out any: whoever reads ids ahead knows by it when none below can
 * appear any more (tasks/keyed.ts).
 *
 * One json parameter: with twelve arrays through `unnest`, batches of 3,000 took 1.25 to 1.6 times as long. The conflict
 * clause costs a tenth, so that it is there for unique ones alone.
 */
const enqueue = (conflict: string, returning: string): string => `
with x as materialized (select pg_current_xact_id() as xid)
insert into sluice.task (xid, queue, name, prio, shard, run_at, max_attempt, key, uniq, grp, body, head)
select case when a.key is not null then x.xid end, a.queue, a.name, a.prio, a.shard,
  coalesce(a.run_at, clock_timestamp() + a.delay * interval '1 ms'),
  a.max_attempt, a.key, a.uniq, a.grp, a.body, a.head
from x, json_to_recordset($1::json) as a(queue int, name text, prio smallint, shard smallint, delay float8,
  run_at timestamptz, max_attempt smallint, key text, uniq text, grp text, body text, head text)
${conflict} returning ${returning}`

export const ENQUEUE = enqueue('', 'id')
export const ENQUEUE_UNIQUE = enqueue(
  'on conflict (queue, uniq) where uniq is not null do nothing',
  'id, queue, uniq',
)

/**
 * in: $1 json array of bodies, $2 queue, $3 name, $4 priority, $5 attempts, $6 delay in ms, $7 due time, $8 group, $9 head
 * out: ids, with commas, in the order of the array
 * effect: rows of sluice.task that differ in their bodies alone: reading the rest again for each was half of the time
 */
export const ENQUEUE_ALIKE = `
with i as (
  insert into sluice.task (queue, name, prio, max_attempt, run_at, grp, head, body)
  select $2, $3, $4, $5, coalesce($7::timestamptz, clock_timestamp() + $6::float8 * interval '1 ms'), $8, $9, b.body
  from json_array_elements_text($1::json) as b(body)
  returning id)
select string_agg(i.id::text, ',') as ids from i`

export interface Enqueued {
  readonly id: string
}

/** The ids in the order of the tasks; undefined where a unique one was there already. */
export async function enqueueTasks(
  db: Queryable,
  tasks: readonly NewTask[],
): Promise<readonly (Enqueued | undefined)[]> {
  const options = { label: 'sluice.enqueue', idempotent: false } as const
  const first = tasks[0]
  if (first === undefined) return []
  if (areAlike(tasks, first)) return enqueueAlike(db, tasks, first)
  if (tasks.every((task) => task.uniq === undefined)) {
    return db.query<Enqueued>(ENQUEUE, [JSON.stringify(tasks)], options)
  }
  const order = sortedByUnique(tasks)
  const rows = await db.query<{ id: string; queue: number; uniq: string | null }>(
    ENQUEUE_UNIQUE,
    [JSON.stringify(order)],
    options,
  )
  // Rows come back in the order in which they were put in, which is the order of the array; conflicts are left out.
  const answers = new Map<NewTask, Enqueued>()
  let at = 0
  for (const task of order) {
    const row = rows[at]
    if (row === undefined || row.queue !== task.queue || row.uniq !== (task.uniq ?? null)) continue
    answers.set(task, { id: row.id })
    at++
  }
  return tasks.map((task) => answers.get(task))
}

async function enqueueAlike(
  db: Queryable,
  tasks: readonly NewTask[],
  { queue, name, prio, max_attempt, delay, run_at, grp, head }: NewTask,
): Promise<readonly Enqueued[]> {
  const bodies = JSON.stringify(tasks.map(({ body }) => body))
  const row = await db.queryOne<{ ids: string }>(
    ENQUEUE_ALIKE,
    [bodies, queue, name ?? null, prio, max_attempt, delay, run_at ?? null, grp ?? null, head ?? null],
    { label: 'sluice.enqueue', idempotent: false },
  )
  return row!.ids.split(',').map((id) => ({ id }))
}

/** Neither unique nor with a key, and different in their bodies alone. */
function areAlike(tasks: readonly NewTask[], first: NewTask): boolean {
  const { queue, name, prio, max_attempt, delay, run_at, grp, head } = first
  return tasks.every(
    (task) =>
      task.uniq === undefined &&
      task.key === undefined &&
      task.queue === queue &&
      task.prio === prio &&
      task.delay === delay &&
      task.max_attempt === max_attempt &&
      task.name === name &&
      task.run_at === run_at &&
      task.grp === grp &&
      task.head === head,
  )
}

function sortedByUnique(tasks: readonly NewTask[]): readonly NewTask[] {
  return tasks.toSorted((a, b) => a.queue - b.queue || compare(a.uniq ?? '', b.uniq ?? ''))
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
