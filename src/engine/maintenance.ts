/**
 * Chores: what has to be done now and then by one process of all that share the database. Whoever's turn it is first
 * takes it, by the database's clock; a chore that fails is done again when its time comes round.
 *
 * A chore works in bounded steps, and bears that another process begins one while it is still at it: a process that was
 * frozen in the middle must not keep the others from it.
 */
import type { Clock, Timer } from '../core/clock.ts'
import { toError } from '../core/errors.ts'
import type { Logger } from '../telemetry/log.ts'
import { STATEMENT_TIMEOUT_MS, type EngineDatabase } from './database.ts'
import { DROP_RATES } from './tasks/limits.ts'
import { DROP_WINDOWS } from './tasks/unique.ts'

export type Chore = (signal: AbortSignal) => Promise<unknown>

export interface ChoresOptions {
  readonly db: EngineDatabase
  readonly clock: Clock
  readonly random: () => number
  readonly log: Logger
}

/** Between two looks whether it is time, at most. */
const MAX_LOOK_MS = 60_000

/**
 * in: $1 key, $2 milliseconds
 * out: one row where it is time
 * effect: it is somebody else's turn only after that time
 */
const TAKE_TURN = `
insert into sluice.meta as m (k, v) values ($1, clock_timestamp()::text)
on conflict (k) do update set v = excluded.v
where m.v::timestamptz < clock_timestamp() - $2 * interval '1 ms' or m.v::timestamptz > clock_timestamp() + interval '1 hour'
returning k`

interface Entry {
  readonly name: string
  readonly everyMs: number
  readonly chore: Chore
  timer: Timer | undefined
  running: Promise<void> | undefined
  /** In a row. */
  failures: number
}

export class Chores {
  readonly #options: ChoresOptions
  readonly #entries = new Set<Entry>()
  readonly #stopping = new AbortController()
  #isOpen = false

  constructor(options: ChoresOptions) {
    this.#options = options
  }

  /** Does `chore` about every `everyMs`, in one process at a time. The answer ends that. */
  add(name: string, everyMs: number, chore: Chore): () => void {
    const entry: Entry = { name, everyMs, chore, timer: undefined, running: undefined, failures: 0 }
    this.#entries.add(entry)
    if (this.#isOpen) this.#later(entry)
    return () => {
      this.#entries.delete(entry)
      entry.timer?.cancel()
    }
  }

  open(): void {
    this.#isOpen = true
    for (const entry of this.#entries) this.#later(entry)
  }

  /** Begins none any more, tells those that run, and waits for them. */
  async close(reason: unknown): Promise<void> {
    this.#isOpen = false
    this.#stopping.abort(reason)
    for (const { timer } of this.#entries) timer?.cancel()
    await Promise.all(Array.from(this.#entries, ({ running }) => running ?? Promise.resolve()))
  }

  #later(entry: Entry): void {
    if (!this.#isOpen || !this.#entries.has(entry)) return
    const { clock, random } = this.#options
    const wait = Math.min(entry.everyMs, MAX_LOOK_MS) * (0.5 + 0.5 * random())
    entry.timer = clock.setTimer(
      () => {
        entry.running = this.#look(entry).finally(() => {
          entry.running = undefined
          this.#later(entry)
        })
      },
      wait,
      { keepAlive: false },
    )
  }

  async #look(entry: Entry): Promise<void> {
    const { name, everyMs, chore } = entry
    const { db, log } = this.#options
    const { signal } = this.#stopping
    try {
      const turn = await db.queryOne(TAKE_TURN, [`chore ${name}`, everyMs], {
        label: 'sluice.chore',
        timeout: STATEMENT_TIMEOUT_MS,
        idempotent: false,
        signal,
      })
      if (turn !== undefined) await chore(signal)
      entry.failures = 0
    } catch (error) {
      if (signal.aborted) return
      entry.failures += 1
      // A single one is over by the next turn; what fails again and again lets its table grow.
      const level = entry.failures % TELL_EVERY === 0 ? 'warn' : 'debug'
      log[level]({ err: toError(error), chore: name, failures: entry.failures }, 'a chore failed')
    }
  }
}

/** Failures in a row. */
const TELL_EVERY = 3

/** Rows deleted by one statement. */
const STEP = 1_000

/** in: $1 rows · effect: workers that died a day ago are forgotten, but for those that still own something */
const FORGET_WORKERS = `
delete from sluice.worker where id = any(array(
  select id from sluice.worker w where dead_at < clock_timestamp() - interval '1 day'
    and not exists (select from sluice.task t where t.owner = w.id)
    and not exists (select from sluice.lot l where l.owner = w.id)
    and not exists (select from sluice.lease l where l.owner = w.id)
  order by id limit $1 for update skip locked))`

/** The chores that the engine has for itself. */
export function addOwnChores(chores: Chores, db: EngineDatabase): void {
  const forget = (sql: string) => async (signal: AbortSignal) => {
    const call = { label: 'sluice.forget', timeout: '10s', idempotent: false, signal } as const
    while ((await db.delete(sql, [STEP], call)) === STEP);
  }
  chores.add('workers', 600_000, forget(FORGET_WORKERS))
  chores.add('windows', 60_000, forget(DROP_WINDOWS))
  chores.add('rates', 60_000, forget(DROP_RATES))
}
