/**
 * Puts tasks into the table of which there may be one only: while one is queued, while one is queued or running, or
 * within a window of time. Atomic under concurrency and in transactions: the unique index and the rows of sluice.once
 * decide, and whoever comes second waits for the first one's transaction.
 *
 * - Names are locked in one order (windows first, each by queue and name), so that overlapping batches cannot deadlock.
 * - A row that is there already is not locked, unless it is to be replaced: its end must never wait for a user's
 *   transaction.
 * - A name begins with `q:` where it is given up as soon as the task runs; the claim does that (tasks/unique-name.ts).
 */
import { isSluiceError, SluiceError } from '../../core/errors.ts'
import type { Queryable } from '../database.ts'
import { WINDOWED_SHARD } from './claim-sql.ts'
import type { NewTask } from './task.ts'

export interface UniqueTask extends NewTask {
  readonly uniq: string
  /** Milliseconds for which there may be one; undefined for as long as there is one. */
  readonly windowMs?: number | undefined
  /** One that waits gets this one's data, priority, group and due time; its key stays. */
  readonly replace?: boolean | undefined
}

export interface UniqueAnswer {
  readonly id: string
  readonly created: boolean
}

const RECORD = `(queue int, name text, prio smallint, shard smallint, delay float8, run_at timestamptz,
  max_attempt smallint, key text, uniq text, grp text, body text, head text, "windowMs" float8)`
const DUE = `coalesce(a.run_at, clock_timestamp() + a.delay * interval '1 ms')`

const REPLACED = `body = a.body, head = a.head, prio = a.prio, grp = a.grp, run_at = ${DUE}`

/** The limit of waiting is set until the end of the transaction, which is that of the statement where there is no other. */
const BEGIN = `select pg_current_xact_id() as xid,
  case when $2::int is not null then set_config('lock_timeout', $2::text, true) end as wait`

/** in: $1 json array of tasks, $2 ms · out: id, queue, uniq of those that were put in · effect: rows of sluice.task */
export const INSERT_UNIQUE = `
with x as materialized (${BEGIN})
insert into sluice.task (xid, queue, name, prio, shard, run_at, max_attempt, key, uniq, grp, body, head)
select case when a.key is not null then x.xid end, a.queue, a.name, a.prio, a.shard, ${DUE}, a.max_attempt, a.key, a.uniq,
  a.grp, a.body, a.head
from x, json_to_recordset($1::json) as a${RECORD}
on conflict (queue, uniq) where uniq is not null do nothing
returning id::text as id, queue, uniq`

/**
 * in: $1 json array of tasks, $2 ms · out: id, queue, uniq of those whose window was free
 * effect: rows of sluice.task, and of sluice.once, which name them
 */
export const INSERT_ONCE = `
with x as materialized (${BEGIN}),
a as materialized (
  select a.*, x.xid, nextval('sluice.task_id_seq') as id from x, json_to_recordset($1::json) as a${RECORD}),
o as (
  insert into sluice.once as o (queue, uniq, until, task)
  select queue, uniq, clock_timestamp() + "windowMs" * interval '1 ms', id from a
  on conflict (queue, uniq) do update set until = excluded.until, task = excluded.task where o.until <= clock_timestamp()
  returning o.task)
insert into sluice.task (id, xid, queue, name, prio, shard, run_at, max_attempt, key, grp, body, head)
overriding system value
select a.id, case when a.key is not null then a.xid end, a.queue, a.name, a.prio,
  case when a.key is null then ${WINDOWED_SHARD} else a.shard end, ${DUE}, a.max_attempt, a.key, a.grp, a.body, a.head
from a join o on o.task = a.id
returning id::text as id, queue, (select a.uniq from a where a.id = task.id) as uniq`

/** in: $1 json array of tasks · out: id, queue, uniq of those that still wait · effect: their data, priority, group and due time are these */
export const REPLACE = `
with a as materialized (
  select a.*, t.id from json_to_recordset($1::json) as a${RECORD}
  join sluice.task t on t.queue = a.queue and t.uniq = a.uniq
  where t.owner is null order by a.queue, a.uniq for update of t)
update sluice.task t set ${REPLACED} from a where t.id = a.id and t.owner is null
returning t.id::text as id, t.queue, t.uniq`

/** The same for tasks that a window names. */
export const REPLACE_ONCE = `
with a as materialized (
  select a.*, t.id from json_to_recordset($1::json) as a${RECORD}
  join sluice.once o on o.queue = a.queue and o.uniq = a.uniq join sluice.task t on t.id = o.task
  where t.owner is null order by a.queue, a.uniq for update of t)
update sluice.task t set ${REPLACED} from a where t.id = a.id and t.owner is null
returning t.id::text as id, t.queue, a.uniq`

/** in: $1 queues, $2 names · out: id, queue, uniq of those that are there */
export const FIND_UNIQUE = `
select t.id::text as id, t.queue, t.uniq from unnest($1::int[], $2::text[]) as a(queue, uniq)
join sluice.task t on t.queue = a.queue and t.uniq = a.uniq`
export const FIND_ONCE = `
select o.task::text as id, o.queue, o.uniq from unnest($1::int[], $2::text[]) as a(queue, uniq)
join sluice.once o on o.queue = a.queue and o.uniq = a.uniq`

/** in: $1 limit · effect: windows that are over are forgotten */
export const DROP_WINDOWS = `
delete from sluice.once where (queue, uniq) in (
  select queue, uniq from sluice.once where until < clock_timestamp() limit $1 for update skip locked)`

interface Row {
  readonly id: string
  readonly queue: number
  readonly uniq: string
}
type Statements = Readonly<Record<'insert' | 'replace' | 'find', string>>

const WHILE: Statements = { insert: INSERT_UNIQUE, replace: REPLACE, find: FIND_UNIQUE }
const ONCE: Statements = { insert: INSERT_ONCE, replace: REPLACE_ONCE, find: FIND_ONCE }
/** One that is there ends before it is found: then there is room for another. More often in a row is a defect. */
const MAX_ROUNDS = 20
/** Tasks of one statement. */
const CHUNK = 1_000

/**
 * The id of each, in their order; `created: false` where one was there already, also among these. `waitMs`: how long a
 * name is waited for that an open transaction holds (`isNameHeld` of the error); left out, as long as the statement may take.
 */
export async function enqueueUnique(
  db: Queryable,
  tasks: readonly UniqueTask[],
  waitMs?: number,
): Promise<UniqueAnswer[]> {
  // Of several with one name the first is put in; where it is replaced, the last one's data is.
  const byName = new Map<string, UniqueTask>()
  for (const task of tasks) {
    const name = nameOf(task)
    const before = byName.get(name)
    if (before === undefined || task.replace === true) byName.set(name, task)
  }
  const sorted = [...byName.values()].toSorted((a, b) => a.queue - b.queue || compare(a.uniq, b.uniq))
  const answers = new Map<string, UniqueAnswer>()
  const windows = sorted.filter(({ windowMs }) => windowMs !== undefined)
  const others = sorted.filter(({ windowMs }) => windowMs === undefined)
  for (const chunk of inChunks(windows)) await put(db, chunk, ONCE, answers, waitMs)
  for (const chunk of inChunks(others)) await put(db, chunk, WHILE, answers, waitMs)
  const answered = new Set<string>()
  return tasks.map((task) => {
    const name = nameOf(task)
    const { id, created } = answers.get(name)!
    const isFirst = !answered.has(name)
    answered.add(name)
    return { id, created: created && isFirst }
  })
}

async function put(
  db: Queryable,
  tasks: readonly UniqueTask[],
  statements: Statements,
  answers: Map<string, UniqueAnswer>,
  waitMs: number | undefined,
): Promise<void> {
  let left = tasks
  const answer = (rows: readonly Row[], created: boolean): void => {
    for (const row of rows) answers.set(rowName(row, statements), { id: row.id, created })
    left = left.filter((task) => !answers.has(nameOf(task)))
  }
  for (let round = 0; left.length > 0 && round < MAX_ROUNDS; round++) {
    answer(await send(db, statements.insert, [JSON.stringify(left), waitMs ?? null]), true)
    const replacing = left.filter(({ replace }) => replace === true)
    if (replacing.length > 0) answer(await send(db, statements.replace, [JSON.stringify(replacing)]), false)
    if (left.length === 0) return
    const names = [left.map(({ queue }) => queue), left.map(({ uniq }) => uniq)]
    answer(await send(db, statements.find, names), false)
  }
  if (left.length === 0) return
  throw new SluiceError(
    'SLUICE_CONFLICT',
    'a unique task was there and gone again each time it was looked for',
    {
      retryable: true,
    },
  )
}

/** The wait for a name was over before the transaction that holds it. */
export function isNameHeld(error: unknown): boolean {
  return isSluiceError(error) && error.details?.['sqlstate'] === '55P03'
}

function inChunks(tasks: readonly UniqueTask[]): readonly (readonly UniqueTask[])[] {
  const chunks = Math.ceil(tasks.length / CHUNK)
  return Array.from({ length: chunks }, (_, at) => tasks.slice(at * CHUNK, (at + 1) * CHUNK))
}

function send(db: Queryable, sql: string, params: readonly unknown[]): Promise<Row[]> {
  return db.query<Row>(sql, params, { label: 'sluice.enqueue.unique', idempotent: false })
}

function nameOf({ queue, uniq, windowMs }: UniqueTask): string {
  return `${windowMs === undefined ? 'while' : 'once'} ${queue} ${uniq}`
}

function rowName({ queue, uniq }: Row, statements: Statements): string {
  return `${statements === WHILE ? 'while' : 'once'} ${queue} ${uniq}`
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
