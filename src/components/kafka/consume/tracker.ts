/**
 * One partition, as long as it is ours: what was received and is not finished, in the order of offsets.
 *
 * Messages finish in any order; what may be committed is the offset after the last one of those that finished without a
 * gap before them. A tracker that was dropped (the partition went to another member, or the consumer was built anew)
 * takes part in nothing any more: what waited is not run, what runs may end and commits nothing.
 */
import { Ring } from '../../../core/ring.ts'
import type { KafkaMessage } from './message.ts'

export class Entry {
  readonly message: KafkaMessage
  readonly tracker: Tracker
  /** What orders it: entries of one lane run one after another. Undefined where nothing does. */
  readonly lane: string | undefined
  readonly bytes: number
  finished = false

  constructor(message: KafkaMessage, tracker: Tracker, lane: string | undefined, bytes: number) {
    this.message = message
    this.tracker = tracker
    this.lane = lane
    this.bytes = bytes
  }
}

/** Entries of a lane that wait for the one that runs. Outlives trackers: what runs still runs. */
export type Lanes = Map<string, Ring<Entry> | undefined>

export interface Commit {
  readonly topic: string
  readonly partition: number
  readonly offset: bigint
  readonly leaderEpoch: number
}

export class Tracker {
  readonly topic: string
  readonly partition: number
  readonly lanes: Lanes
  readonly #entries = new Ring<Entry>()
  /** The lowest offset that was not received yet. */
  next = -1n
  /** What the next commit says; -1 for nothing yet. */
  #done = -1n
  #committed = -1n
  leaderEpoch = -1
  dropped = false

  constructor(topic: string, partition: number, lanes: Lanes) {
    this.topic = topic
    this.partition = partition
    this.lanes = lanes
  }

  /** Received and not finished, or finished behind one that is not. */
  get held(): number {
    return this.#entries.length
  }

  push(entry: Entry): void {
    this.#entries.push(entry)
    this.next = entry.message.offset + 1n
  }

  /** It was handled before anything else was held. */
  pass(offset: bigint): void {
    this.next = offset + 1n
    this.#done = this.next
  }

  /** Moves over what is finished at the front. */
  advance(): void {
    for (let first = this.#entries.peek(); first?.finished === true; first = this.#entries.peek()) {
      this.#entries.shift()
      this.#done = first.message.offset + 1n
    }
  }

  /** What is to be committed; undefined where nothing is new. */
  commit(): Commit | undefined {
    if (this.dropped || this.#done <= this.#committed) return undefined
    const { topic, partition, leaderEpoch } = this
    return { topic, partition, offset: this.#done, leaderEpoch }
  }

  committed(offset: bigint): void {
    if (offset > this.#committed) this.#committed = offset
  }
}
