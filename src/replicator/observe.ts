/** The metrics of a replicator: read when they are scraped, so that a message costs nothing. */
import type { PartContext } from './contract.ts'
import { TRIGGERS, type LaneCounters } from './counters.ts'
import type { Lanes } from './lanes/lanes.ts'
import type { BreakerState } from '../policy/breaker-state.ts'
import type { StreamId } from './stream-id.ts'

const COUNTERS: readonly (readonly [Exclude<keyof LaneCounters, 'batches'>, string, string])[] = [
  ['received', 'received', 'Messages of the stream.'],
  ['rows', 'rows', 'Rows of loads.'],
  ['conflated', 'conflated', 'Messages that were put together with a later one of their key.'],
  ['processed', 'processed', 'Messages whose effect is stored.'],
  ['applied', 'applied', 'Changes that were stored.'],
  ['skipped', 'skipped', 'Messages that were older than what waited for their key.'],
  ['skippedInStore', 'skipped_in_store', 'Changes that met something newer in the store.'],
  ['dead', 'dead', 'Messages that cannot be applied.'],
  ['dropped', 'dropped', 'Messages that were thrown away: always 0.'],
  ['returned', 'returned', 'Messages let go with a lost session; they come again from the cursor.'],
  ['failedBatches', 'failed_batches', 'Batches that could not be stored, and are held.'],
]

/** What there is to see. */
export interface Observed {
  readonly lanes: Lanes
  readonly breaker: { readonly state: BreakerState }
  readonly lagMs: number
  readonly notReady: string | undefined
  readonly facts: Readonly<Record<'sessions' | 'disconnects' | 'reloads' | 'pauses', number>>
}

/** @returns takes the metrics off again */
export function observe(runtime: Observed, { metrics, name }: PartContext): () => void {
  const offs: (() => void)[] = []
  const add = (metric: string, help: string, labels: Record<string, string>, read: () => number): void => {
    offs.push(metrics.observe(`sluice_replicator_${metric}`, help, { component: name, ...labels }, read))
  }
  for (const lane of runtime.lanes.lanes) {
    const labels = { lane: lane.spec.name }
    for (const [key, metric, help] of COUNTERS) add(`${metric}_total`, help, labels, () => lane.counters[key])
    for (const trigger of TRIGGERS)
      add(
        'batches_total',
        'Batches by what sent them.',
        { ...labels, trigger },
        () => lane.counters.batches[trigger],
      )
    add('pending', 'Changes that are held.', labels, () => lane.held)
    add('pending_bytes', 'Their size.', labels, () => lane.heldBytes)
    add(
      'cursor_milliseconds',
      'First part of the cursor stored with the lane.',
      labels,
      () => lane.storedCursor?.ms ?? 0,
    )
  }
  add('lag_seconds', 'Age of the oldest change that waits.', {}, () => runtime.lagMs / 1_000)
  add('cursor_lag_milliseconds', 'From the cursor to the newest id received.', {}, () =>
    between(runtime.lanes.cursor, runtime.lanes.positions.newest),
  )
  add('in_flight', 'Batches under way.', {}, () => runtime.lanes.inFlight)
  add('ready', '1 when readers may rely on the store.', {}, () => (runtime.notReady === undefined ? 1 : 0))
  add('breaker_open', '1 while the sink is left alone.', {}, () =>
    runtime.breaker.state.kind === 'closed' ? 0 : 1,
  )
  for (const fact of ['sessions', 'disconnects', 'reloads', 'pauses'] as const)
    add(`${fact}_total`, FACTS[fact], {}, () => runtime.facts[fact])
  return () => offs.forEach((off) => off())
}

const FACTS = {
  sessions: 'Times the lease was taken.',
  disconnects: 'Connections of the source that ended.',
  reloads: 'Loads that the source asked for.',
  pauses: 'Times the source was paused, with a lane at its bound.',
}

function between(from: StreamId | undefined, to: StreamId | undefined): number {
  return from === undefined || to === undefined ? 0 : Math.max(0, to.ms - from.ms)
}
