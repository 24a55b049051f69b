/** What the parts of subscriptions are handed. */
import type { Engine } from '../engine/engine.ts'
import type { CursorMove } from '../engine/log/cursor.ts'
import type { LogReader } from '../engine/log/reader.ts'
import type { SubscriptionRow } from '../engine/log/subscriptions.ts'
import type { Topics } from '../engine/log/topics.ts'
import type { SubscriptionState } from '../engine/log/watch.ts'
import type { Page } from '../engine/log/window.ts'
import type { Logger } from '../telemetry/log.ts'
import type { CounterCell } from '../telemetry/metric.ts'
import type { Attempts } from './attempt.ts'
import type { StoredEvent } from './decode.ts'
import type { Gate } from './gate.ts'
import type { SubscriptionSpec } from './spec.ts'
import type { Stands } from './stands.ts'

/** What all subscriptions of a process share. */
export interface SubscriberHost {
  readonly engine: Engine
  /** The component's own; the engine's is that of everything on the database. */
  readonly log: Logger
  readonly topics: Topics
  readonly reader: LogReader
  /** The events of a page, decoded once for all. */
  readonly decoded: (page: Page) => readonly StoredEvent[]
  /** Writes a cursor, gathered with others; false where the shard is another's. */
  readonly moveCursor: (move: CursorMove) => Promise<boolean>
  readonly delivered: (subscription: string) => CounterCell
  /** Shards that go on only when an event is delivered. */
  readonly stands: Stands
  /** Writes down what this process subscribes to, for others to see. */
  readonly announce: () => Promise<void>
  /** What the database says of a subscription. */
  readonly stateOf: (id: number) => Promise<SubscriptionState | undefined>
  /** Others are to look at once. */
  readonly tell: () => void
}

/** What a shard works with. */
export interface SubscriberParts extends Omit<SubscriberHost, 'delivered' | 'announce' | 'stateOf' | 'tell'> {
  readonly spec: SubscriptionSpec
  readonly row: SubscriptionRow
  readonly attempts: Attempts
  readonly gate: Gate
  readonly delivered: CounterCell
  /** Others read these together: a shard was taken in vain. */
  readonly standBy: (patterns: readonly string[]) => void
}
