/**
 * Events from a broker into the log, each once: the id is remembered by the statement that publishes the event. So one
 * that comes again, because its acknowledgement was lost, is known; and one whose statement failed is not.
 */
import { createHash } from 'node:crypto'
import type { Engine } from '../../engine/engine.ts'
import type { NewEvent } from '../../engine/log/publish.ts'
import { LOG } from '../../engine/log/reader.ts'
import type { Topics } from '../../engine/log/topics.ts'
import { moment } from '../../engine/moments.ts'
import type { Arrival } from '../transports/broker.ts'
import { headOf } from '../transports/stored.ts'

export type InboxEvent = Omit<Arrival, 'attempt' | 'signal'>

/** Whose ids these are. */
const QUEUE = 'events/inbox'
/** Longer ones are kept as a hash. */
const MAX_KEPT = 200

/**
 * One statement and no transaction around two: each round trip that is saved is one less on the way of every event.
 *
 * in: $1 queue, $2 ids in order, $3 ms, $4 json array of events, each with its id
 * out: how many were not there, or too long ago
 * effect: rows of sluice.once and, in the order of the array, of sluice.event
 *
 * As for every event, the transaction has its id before the sequence hands one out.
 */
const STORE = `
with fresh as (
  insert into sluice.once (queue, uniq, until)
  select $1, u, clock_timestamp() + $3 * interval '1 ms' from unnest($2::text[]) u
  on conflict (queue, uniq) do update set until = excluded.until where sluice.once.until < clock_timestamp()
  returning uniq),
x as materialized (select pg_current_xact_id() as xid),
stored as (
  insert into sluice.event (xid, topic, version, key, head, body)
  select x.xid, e.topic, e.version, e.key, e.head, e.body
  from x, rows from (json_to_recordset($4::json)
    as (uniq text, topic int, version smallint, key text, head text, body text)) with ordinality
    as e(uniq, topic, version, key, head, body, place)
  where e.uniq in (select uniq from fresh) order by e.place
  returning 1)
select count(*)::int as stored from stored`

export class Inbox {
  readonly #engine: Engine
  readonly #topics: Topics
  readonly #keepMs: number

  constructor(engine: Engine, topics: Topics, keepMs: number) {
    this.#engine = engine
    this.#topics = topics
    this.#keepMs = keepMs
  }

  /** How many of them were new. All of them or none. */
  async store(events: readonly InboxEvent[]): Promise<number> {
    const byId = new Map<string, InboxEvent>()
    for (const event of events) {
      const id = inboxId(event)
      if (!byId.has(id)) byId.set(id, event)
    }
    const rows: (NewEvent & { readonly uniq: string })[] = []
    for (const [uniq, event] of byId) rows.push({ uniq, ...(await this.#row(event)) })
    const queue = await this.#engine.queues.id(QUEUE)
    // In one order everywhere, so that two processes with the same ids wait for each other and not in a circle.
    const ids = [...byId.keys()].toSorted()
    const storing = this.#engine.db.queryOne<{ stored: number }>(
      STORE,
      [queue, ids, this.#keepMs, JSON.stringify(rows)],
      // Stored twice it is known the second time.
      { label: 'sluice.bridge', idempotent: true },
    )
    moment('events.bridging', events.length)
    const stored = (await storing)?.stored ?? 0
    // Also where none was new: an answer that was lost is asked for again.
    this.#engine.wake.signal(LOG)
    moment('events.bridged', events.length)
    return stored
  }

  async #row(event: InboxEvent): Promise<NewEvent> {
    const { topic, version, key, body } = event
    const id = this.#topics.known(topic) ?? (await this.#topics.id(topic))
    return { topic: id, version, key, head: JSON.stringify(headOf(event)), body }
  }
}

function inboxId({ source, id }: InboxEvent): string {
  const whole = `${source} ${id}`
  return whole.length <= MAX_KEPT ? whole : createHash('sha256').update(whole).digest('hex')
}
