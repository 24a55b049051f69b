/**
 * How the subscribers here read the log: up to 200 events at once, in the transaction of their place in it, so that what a
 * handler does through `tx` is there once, whatever dies. Two processes share the four shards of each. All handlers run in
 * the app's worker pool, so that GOROUTINE_POOL_SIZE bounds them together.
 */
import type { WorkerPool } from 'sluice'
import type { Events, EventType } from 'sluice/events'
import type { Transaction } from 'sluice/postgres'
import type { Delays } from '../delays.ts'

const BATCH = 200
const SHARDS = 4

export interface Happened {
  readonly topic: string
  readonly data: unknown
  readonly publishedAt: Date
  /** It comes from a replay. */
  readonly replay: string | undefined
}

export interface Reading {
  readonly events: Events
  readonly pool: WorkerPool
  readonly delays: Delays
}

export function read(
  { events, pool, delays }: Reading,
  types: readonly EventType<unknown, unknown>[],
  name: string,
  handle: (happened: readonly Happened[], tx: Transaction) => Promise<void>,
): void {
  events.subscribe(
    types,
    name,
    ({ events: happened, tx, signal }) =>
      pool.submit(
        async () => {
          await handle(happened, tx)
          tx.afterCommit(() => delays.add(name, happened))
        },
        { signal, name },
      ),
    { batch: BATCH, shards: SHARDS, transaction: true, from: 'beginning' },
  )
}

/** Data of the events of one type. */
export function of<Data>(type: EventType<unknown, Data>, happened: readonly Happened[]): Data[] {
  return happened.flatMap(({ topic, data }) => (topic === type.topic ? [data as Data] : []))
}

/** Each text once, in the order of numbers: whoever locks rows does it in one order. */
export function ids(list: Iterable<string>): string[] {
  return [...new Set(list)].sort((a, b) => a.length - b.length || (a < b ? -1 : 1))
}
