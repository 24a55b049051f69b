/**
 * Gives messages to the handler: at most `concurrency` at once, those of one key in a partition one after another, those
 * without a key in any order (`order: 'partition'` makes one lane of the whole partition).
 *
 * It holds what it received until it is finished. Above `maxBytes` or `maxMessages` it asks for a pause, and for the end
 * of it at the half. `handle` is given each message once and settles only when the message is done with: handled, or put
 * where it waits for its next attempt, or among the dead letters. So whatever finished may be committed.
 */
import { isThenable } from '../../../core/async-result.ts'
import { Ring } from '../../../core/ring.ts'
import type { RawMessage } from '../client/peer.ts'
import { KafkaMessage } from './message.ts'
import { Entry, Tracker, type Commit, type Lanes } from './tracker.ts'

export interface DispatcherOptions {
  readonly concurrency: number
  readonly order: 'key' | 'partition'
  readonly maxBytes: number
  readonly maxMessages: number
  /** Which attempt a message is. */
  readonly attemptOf: (raw: RawMessage) => number
  /** Never throws and never rejects. */
  readonly handle: (message: KafkaMessage) => Promise<void> | void
  /** Called when it changes. */
  readonly onFull: (isFull: boolean) => void
}

const WHOLE_PARTITION = ''

export class Dispatcher {
  readonly #options: DispatcherOptions
  readonly #trackers = new Map<string, Tracker>()
  readonly #lanes = new Map<string, Lanes>()
  readonly #ready = new Ring<Entry>()
  /** Those whose handlers run. */
  readonly #running = new Set<Entry>()
  #latest: Tracker | undefined
  #bytes = 0
  #held = 0
  #full = false
  #halted = false
  #pumping = false
  #idle: PromiseWithResolvers<void> | undefined

  constructor(options: DispatcherOptions) {
    this.#options = options
  }

  get running(): number {
    return this.#running.size
  }
  get held(): number {
    return this.#held
  }
  get bytes(): number {
    return this.#bytes
  }
  get full(): boolean {
    return this.#full
  }
  get partitions(): readonly { readonly topic: string; readonly partition: number }[] {
    return [...this.#trackers.values()].map(({ topic, partition }) => ({ topic, partition }))
  }

  /** These partitions are ours from now on. Those that were before keep what they hold, with `keep`; others are dropped. */
  assign(partitions: Iterable<{ readonly topic: string; readonly partition: number }>, keep: boolean): void {
    const named = new Map([...partitions].map((each) => [`${each.topic}:${each.partition}`, each]))
    for (const [name, tracker] of this.#trackers) {
      if (keep && named.has(name)) continue
      tracker.dropped = true
      this.#trackers.delete(name)
    }
    for (const [name, { topic, partition }] of named) {
      if (this.#trackers.has(name)) continue
      let lanes = this.#lanes.get(name)
      if (lanes === undefined) this.#lanes.set(name, (lanes = new Map()))
      this.#trackers.set(name, new Tracker(topic, partition, lanes))
    }
    for (const [name, lanes] of this.#lanes)
      if (lanes.size === 0 && !named.has(name)) this.#lanes.delete(name)
    this.#pump()
  }

  /** False for a message that is not ours, or came again. */
  accept(raw: RawMessage): boolean {
    const tracker = this.#trackerOf(raw)
    if (tracker === undefined || this.#halted || raw.offset < tracker.next) return false
    const { key, value } = raw as { key: Buffer | undefined; value: Buffer | undefined }
    const message = new KafkaMessage(raw, this.#options.attemptOf(raw))
    tracker.leaderEpoch = raw.leaderEpoch
    // Nothing waits and nothing runs, so it may be handled here and now; when that takes no promise, all is done.
    const isFree =
      this.#running.size === 0 && this.#ready.length === 0 && tracker.held === 0 && !this.#pumping
    const outcome = isFree ? this.#handleNow(message) : undefined
    if (isFree && outcome === undefined) {
      tracker.pass(raw.offset)
      return true
    }
    const bytes = (key?.length ?? 0) + (value?.length ?? 0) + 200
    const lane =
      this.#options.order === 'partition'
        ? WHOLE_PARTITION
        : key === undefined
          ? undefined
          : key.toString('latin1')
    const entry = new Entry(message, tracker, lane, bytes)
    tracker.push(entry)
    this.#bytes += bytes
    this.#held += 1
    if (outcome !== undefined) {
      if (lane !== undefined) tracker.lanes.set(lane, undefined)
      this.#await(entry, outcome)
    } else if (lane === undefined) this.#ready.push(entry)
    else if (!tracker.lanes.has(lane)) {
      tracker.lanes.set(lane, undefined)
      this.#ready.push(entry)
    } else {
      let waiting = tracker.lanes.get(lane)
      if (waiting === undefined) tracker.lanes.set(lane, (waiting = new Ring()))
      waiting.push(entry)
    }
    this.#pump()
    this.#measure()
    return true
  }

  /** A handler may do anything, such as closing the consumer: nothing else is started from inside of it. */
  #handleNow(message: KafkaMessage): PromiseLike<void> | undefined {
    this.#pumping = true
    const outcome = this.#options.handle(message)
    this.#pumping = false
    return isThenable(outcome) ? (outcome as PromiseLike<void>) : undefined
  }

  /** Messages come in runs of one partition. */
  #trackerOf({ topic, partition }: RawMessage): Tracker | undefined {
    const latest = this.#latest
    if (latest?.partition === partition && latest.topic === topic && !latest.dropped) return latest
    return (this.#latest = this.#trackers.get(`${topic}:${partition}`))
  }

  commits(): Commit[] {
    const commits: Commit[] = []
    for (const tracker of this.#trackers.values()) {
      const commit = tracker.commit()
      if (commit !== undefined) commits.push(commit)
    }
    return commits
  }

  committed(commits: readonly Commit[]): void {
    for (const { topic, partition, offset } of commits)
      this.#trackers.get(`${topic}:${partition}`)?.committed(offset)
  }

  /** Starts nothing more; what waits is given back by not being committed. */
  halt(): void {
    this.#halted = true
  }

  /** Resolves when no handler runs. */
  idle(): Promise<void> {
    if (this.#running.size === 0) return Promise.resolve()
    this.#idle ??= Promise.withResolvers<void>()
    return this.#idle.promise
  }

  /** Aborts the signals of what runs. */
  abort(reason: unknown): void {
    for (const { message } of this.#running) message.abort(reason)
  }

  #pump(): void {
    // A handler that returns no promise finishes inside of this loop.
    if (this.#pumping) return
    this.#pumping = true
    while (this.#running.size < this.#options.concurrency && !this.#halted) {
      const entry = this.#ready.shift()
      if (entry === undefined) break
      if (entry.tracker.dropped) this.#release(entry)
      else this.#run(entry)
    }
    this.#pumping = false
  }

  #run(entry: Entry): void {
    const outcome = this.#options.handle(entry.message)
    if (!isThenable(outcome)) this.#finish(entry)
    else this.#await(entry, outcome)
  }

  #await(entry: Entry, outcome: PromiseLike<unknown>): void {
    this.#running.add(entry)
    const finished = (): void => {
      this.#finish(entry)
      this.#pump()
    }
    outcome.then(
      () => finished(),
      () => finished(),
    )
  }

  #finish(entry: Entry): void {
    this.#running.delete(entry)
    // A halt ends retries without an end of the message: it was not handled, so it is not committed.
    entry.finished = !entry.message.unfinished
    entry.tracker.advance()
    this.#release(entry)
    if (this.#running.size > 0) return
    this.#idle?.resolve()
    this.#idle = undefined
  }

  #release({ tracker, lane, bytes }: Entry): void {
    this.#bytes -= bytes
    this.#held -= 1
    if (lane !== undefined) {
      const next = tracker.lanes.get(lane)?.shift()
      if (next === undefined) tracker.lanes.delete(lane)
      else this.#ready.push(next)
    }
    this.#measure()
  }

  #measure(): void {
    const { maxBytes, maxMessages, onFull } = this.#options
    if (!this.#full && (this.#bytes >= maxBytes || this.#held >= maxMessages)) {
      this.#full = true
      onFull(true)
    } else if (this.#full && this.#bytes <= maxBytes / 2 && this.#held <= maxMessages / 2) {
      this.#full = false
      onFull(false)
    }
  }
}
