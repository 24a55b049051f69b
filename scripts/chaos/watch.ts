/**
 * How long the work of a process lay with it after it was killed, frozen or told to stop: seen from the database, so that
 * the wait for a slot behind a backlog, which handlers show as well, is told apart from the time that the engine takes.
 *
 * At a fault it notes the tasks that the process owns and the shards that it leases, and looks at them until each is free,
 * and until each is another's. What the process still ended by itself is left out.
 */
import pg from 'pg'
import { percentiles, type Percentiles } from './percentiles.ts'

export type Fault = 'kill' | 'freeze' | 'stop'

export interface Taken {
  /** From the fault until nobody owned it any more, or another did. */
  readonly free: Percentiles
  /** From the fault until another owned it; after a stop from when it was given back. */
  readonly claimed: Percentiles
}

/** Tasks by their owner. Shards are dealt out again: a dead process has its share until it is known to be dead. */
export type Owned = 'tasks' | 'shards'

const LOOK_EVERY_MS = 40
/** Of one fault, so that a look stays quick. */
const MAX_NOTED = 500

/** Tasks that have an owner: by their own row, or by that of the lot that they were taken with. */
const HELD = `
select t.id, t.owner from sluice.task t where t.owner is not null
union all select unnest(l.ids), l.owner from sluice.lot l`

/** in: $1 process · out: what its worker owns: `t` tasks by id, `l` leases by kind, ref and shard */
const OWNED = `
with w as (select id from sluice.worker where info ->> 'pid' = $1 and dead_at is null)
(select 't' || t.id as what, w.id::text as owner from w join (${HELD}) t on t.owner = w.id limit ${MAX_NOTED})
union all select 'l' || l.kind || l.ref || '/' || l.shard, w.id::text from w join sluice.lease l on l.owner = w.id`

/** in: $1 tasks, $2 leases · out: those that are there, and their owners */
const OWNERS = `
select 't' || t.id as what, coalesce(t.owner, h.owner)::text as owner from sluice.task t
left join (${HELD}) h on h.id = t.id where t.id = any($1::bigint[])
union all select 'l' || kind || ref || '/' || shard, owner::text from sluice.lease
where 'l' || kind || ref || '/' || shard = any($2::text[])`

interface Noted {
  readonly what: string
  readonly owner: string
  readonly fault: Fault
  readonly at: number
  freeAt: number | undefined
}

export class Watch implements AsyncDisposable {
  readonly #client: pg.Client
  readonly #noted = new Map<string, Noted>()
  /** Times by fault, kind of what was owned, and what was waited for. */
  readonly #times = new Map<string, number[]>()
  #calls: Promise<unknown> = Promise.resolve()
  #timer: NodeJS.Timeout | undefined
  #closed = false

  constructor(client: pg.Client) {
    this.#client = client
  }

  static async open(dsn: string): Promise<Watch> {
    const client = new pg.Client({ connectionString: dsn, statement_timeout: 5_000 })
    // A look that fails is missing from the times, and the run goes on.
    client.on('error', () => {})
    await client.connect()
    return new Watch(client)
  }

  /** A fault was caused now. What the process does not own any more when this is asked for is not counted. */
  struck(fault: Fault, pid: number): void {
    const at = Date.now()
    this.#call(async () => {
      const { rows } = await this.#client.query<{ what: string; owner: string }>(OWNED, [String(pid)])
      for (const { what, owner } of rows) this.#noted.set(what, { what, owner, fault, at, freeAt: undefined })
      this.#next()
    })
  }

  taken(fault: Fault, owned: Owned): Taken {
    const of = (wait: string): Percentiles => percentiles(this.#times.get(`${fault} ${owned} ${wait}`) ?? [])
    return { free: of('free'), claimed: of('claimed') }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true
    clearTimeout(this.#timer)
    await this.#calls
    await this.#client.end()
  }

  /** One after another. */
  #call(fn: () => Promise<void>): void {
    if (this.#closed) return
    this.#calls = this.#calls.then(fn).catch(() => this.#next())
  }

  #next(): void {
    if (this.#closed || this.#noted.size === 0 || this.#timer !== undefined) return
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      this.#call(() => this.#look())
    }, LOOK_EVERY_MS)
  }

  async #look(): Promise<void> {
    const names = [...this.#noted.keys()]
    const { rows } = await this.#client.query<{ what: string; owner: string | null }>(OWNERS, [
      names.filter((name) => name.startsWith('t')).map((name) => name.slice(1)),
      names.filter((name) => name.startsWith('l')),
    ])
    const now = Date.now()
    const owners = new Map(rows.map(({ what, owner }) => [what, owner]))
    for (const noted of this.#noted.values()) this.#see(noted, owners.get(noted.what), now)
    this.#next()
  }

  /** `owner`: undefined where it is gone. */
  #see(noted: Noted, owner: string | null | undefined, now: number): void {
    const { what, fault, at } = noted
    if (owner === noted.owner) return
    const wasFree = noted.freeAt
    // Gone without having been free: its own process ended it, or another did so between two looks.
    if (wasFree === undefined && owner !== undefined) {
      noted.freeAt = now
      this.#add(noted, 'free', now - at)
    }
    if (owner === null) return
    this.#noted.delete(what)
    if (noted.freeAt !== undefined) {
      this.#add(noted, 'claimed', now - (fault === 'stop' ? noted.freeAt : at))
    }
  }

  #add({ fault, what }: Noted, wait: 'free' | 'claimed', ms: number): void {
    const name = `${fault} ${what.startsWith('t') ? 'tasks' : 'shards'} ${wait}`
    const times = this.#times.get(name)
    if (times === undefined) this.#times.set(name, [ms])
    else times.push(ms)
  }
}
