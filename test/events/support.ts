/** A database of the test's own with `postgres()` and `events()` on it, as often as a test needs processes. */
import {
  connectComponent,
  type OpenComponent,
  type OpenComponentOptions,
} from '../../src/testing/connect-component.ts'
import { openTestServer } from '../../src/testing/index.ts'
import { postgres, type Postgres } from '../../src/components/postgres/index.ts'
import { events, type Events, type EventsOptions } from '../../src/events/index.ts'
import { systemClock, type Clock } from '../../src/core/clock.ts'
import type { StandardSchema } from '../../src/core/standard-schema.ts'
import { durableDatabase } from '../support/durable-database.ts'

export interface Peer extends AsyncDisposable {
  readonly db: Postgres
  readonly events: Events
  readonly component: OpenComponent<Events>
}

export interface Hands extends Pick<OpenComponentOptions, 'clock' | 'log' | 'metrics' | 'random'> {
  /** What stands between events and the database. */
  readonly between?: (db: Postgres) => Postgres
}

export interface Place extends AsyncDisposable {
  readonly dsn: string
  /** Another process, as far as the database can tell. */
  peer(options?: EventsOptions, hands?: Hands): Promise<Peer>
}

export async function place(where: 'server' | 'embedded' = 'server'): Promise<Place> {
  const stack = new AsyncDisposableStack()
  const dsn =
    where === 'server'
      ? stack.use(await durableDatabase()).dsn
      : stack.use(await stack.use(await openTestServer()).createDatabase()).dsn
  return {
    dsn,
    peer: async (options = {}, { between = (db: Postgres) => db, ...hands } = {}) => {
      const own = new AsyncDisposableStack()
      const db = own.use(await connectComponent(postgres({ dsn, maxOpenConns: 8 })))
      const required = { postgres: between(db.api) }
      const component = own.use(await connectComponent(events(options), { ...hands, required }))
      const peer: Peer = {
        db: db.api,
        events: component.api,
        component,
        [Symbol.asyncDispose]: () => own.disposeAsync(),
      }
      stack.use(peer)
      return peer
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  }
}

/** A schema that takes everything of the type. */
export function anything<T>(): StandardSchema<T> {
  return { '~standard': { version: 1, vendor: 'test', validate: (value) => ({ value: value as T }) } }
}

/** Collects what a handler is given, and says when there is enough of it. */
export class Seen<T> {
  readonly all: T[] = []
  readonly #waits: { readonly count: number; readonly resolve: () => void }[] = []

  add(item: T): void {
    this.all.push(item)
    for (const wait of this.#waits) if (this.all.length >= wait.count) wait.resolve()
  }

  /** Resolves when that many came. The test's own limit ends a wait that is in vain. */
  atLeast(count: number): Promise<void> {
    if (this.all.length >= count) return Promise.resolve()
    return new Promise((resolve) => this.#waits.push({ count, resolve }))
  }
}

/** Asks again until the answer is as wanted. The test's own limit ends a wait that is in vain. */
export async function until<T>(ask: () => PromiseLike<T>, isEnough: (answer: T) => boolean): Promise<T> {
  for (;;) {
    const answer = await ask()
    if (isEnough(answer)) return answer
    // Other connections do the work: it is the database that has to be asked.
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

/** The system's, but that time can be made to have passed. */
export interface AheadClock extends Clock {
  ahead: number
}

export function aheadClock(): AheadClock {
  const clock: AheadClock = {
    ...systemClock,
    ahead: 0,
    monotonic: () => systemClock.monotonic() + clock.ahead,
  }
  return clock
}
