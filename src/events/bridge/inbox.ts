/**
 * Events from a broker into the log, each once: the id is remembered in the transaction that publishes the event. So one
 * that comes again, because its acknowledgement was lost, is known; and one whose transaction was rolled back is not.
 */
import { createHash } from 'node:crypto'
import type { Engine } from '../../engine/engine.ts'
import { letGoWhenIdle } from '../../engine/let-go.ts'
import { publishEvents, type NewEvent } from '../../engine/log/publish.ts'
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
 * in: $1 queue, $2 ids in order, $3 ms
 * out: those that were not there, or too long ago
 */
const REMEMBER = `
insert into sluice.once (queue, uniq, until)
select $1, u, clock_timestamp() + $3 * interval '1 ms' from unnest($2::text[]) u
on conflict (queue, uniq) do update set until = excluded.until where sluice.once.until < clock_timestamp()
returning uniq`

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
    const rows = new Map<string, NewEvent>()
    for (const [id, event] of byId) rows.set(id, await this.#row(event))
    const queue = await this.#engine.queues.id(QUEUE)
    // In one order everywhere, so that two processes with the same ids wait for each other and not in a circle.
    const ids = [...byId.keys()].toSorted()
    const stored = await this.#engine.db.transaction(
      async (tx) => {
        const [fresh] = await Promise.all([
          tx.query<{ uniq: string }>(REMEMBER, [queue, ids, this.#keepMs], {
            label: 'sluice.inbox',
            idempotent: false,
          }),
          letGoWhenIdle(tx),
        ])
        const known = new Set(fresh.map(({ uniq }) => uniq))
        const news = [...rows].flatMap(([id, row]) => (known.has(id) ? [row] : []))
        if (news.length > 0) await publishEvents(tx, news)
        moment('events.bridging', events.length)
        return news.length
      },
      { label: 'sluice.bridge' },
    )
    if (stored > 0) this.#engine.wake.signal(LOG)
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
