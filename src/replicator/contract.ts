/**
 * What a source, the lanes and a sink agree upon. Each can be written by itself against this file.
 *
 *   source ──messages──► lanes (one a type of entity, conflating) ──batches──► sink
 *   loader ──rows──────►                                          ◄──outcome──
 *
 * Words. A *lane* is one type of entity. A *message* is what the source delivers; a *change* is what a key still has to
 * become, after the messages that wait for it were put together. The *cursor* is a stream id: everything up to it,
 * of all lanes, is stored. A *load* is one reading of the whole data set in pages, beside the live stream.
 *
 * Order. The replicator never has two batches with the same key in flight, so a sink may run the batches that it is
 * given at once.
 *
 * Stream ids have one order over all lanes, also after a resume: what was missed comes as it came, not lane by lane. Some of
 * what was delivered before may come again first. The cursor is worth nothing otherwise: with 20 of one lane stored, it
 * says that all up to 20 is, and a 12 of another lane that comes afterwards is not asked for again after a crash. Where the lanes
 * see such a message they say so and everything is loaded anew, on each occasion; what a crash has hidden before
 * it came they cannot see. A source whose ids ascend only within a lane (a Kafka topic a lane, say) has to merge its lanes
 * first, or be a replicator for each.
 *
 * The cursor is one for all lanes, and each batch carries it as it stands once that batch is stored, so a sink stores
 * it in the same atomic unit, in the place of the batch's lane (a Redis Cluster has no transaction across slots, so
 * each lane has a slot, a lease and a copy of the cursor of its own). The replicator resumes from the *lowest* of the
 * copies: where one lane's server lost its last writes in a failover, its copy went back with them. A lane without
 * traffic gets its copy renewed by an empty batch, so that it does not hold the others back.
 * A cursor for each shard was not taken: a source resumes from one position, so the lowest would be taken anyway, and a
 * quiet shard would hold it back for ever.
 */
import type { Clock } from '../core/clock.ts'
import type { Logger } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metric.ts'
import type { StreamId } from './stream-id.ts'

export type { StreamId } from './stream-id.ts'

/** A JSON object: what an entity is. */
export type EntityData = Readonly<Record<string, unknown>>

// ── what the parts are made with ───────────────────────────────────────────────────────────────────────────────────

/** One type of entity. */
export interface LaneSpec {
  /** `entity_type` of its messages, and part of its keys in the store: 'company'. */
  readonly name: string
  /** `entity_type` of its bulk messages: 'companies'. */
  readonly plural: string
  /**
   * Other names under which an entity is found, as `name:value` ('domain:acme.example'); unique among the entities of
   * the lane, the newest owner wins. Called with data that may have any shape; what it throws buries the change as `refused`.
   */
  readonly lookups: ((data: EntityData) => readonly string[]) | undefined
  /** An entity is forgotten after this long without a change; 0 for never. */
  readonly ttlMs: number
}

export interface PartContext {
  /** Name of the component, for errors and metrics. */
  readonly name: string
  readonly appName: string
  readonly clock: Clock
  /** Uniform in [0, 1). */
  readonly random: () => number
  readonly log: Logger
  readonly metrics: Metrics
  readonly lanes: readonly LaneSpec[]
}

/** Makes a part without I/O; `redisSink(options)`, `memorySink()`, `webSocketSource(options)` return one of these. */
export type SinkFactory = (context: PartContext) => Sink
export type SourceFactory = (context: PartContext) => Source
export type LoaderFactory = (context: PartContext) => Loader

// ── changes and batches ────────────────────────────────────────────────────────────────────────────────────────────

/**
 * What one key still has to become. `full` and `delete` stand for themselves. A `partial` has no full state before it
 * in memory: the sink merges it into what is stored (see `mergePartial` in merge.ts: a shallow merge, a null removes
 * the field).
 *
 * It is the sink's until that has answered for its batch, or the batch's signal has aborted: then it is put together with newer
 * messages, or used again for another key.
 */
export interface Change {
  readonly kind: 'full' | 'partial' | 'delete'
  readonly id: string
  /** Stream id of the newest message in it; of a row of a load, the id at which its page was taken. */
  readonly at: StreamId
  /** The entity as JSON text, as it was received where it did not have to be merged; '' for a delete. */
  readonly json: string
  /**
   * Id and JSON as UTF-8, behind each other from `at` on, for a sink that would make bytes of them; undefined where they are
   * not at hand.
   */
  readonly utf8: Utf8 | undefined
  /** The parsed entity: always of a `partial`; of a `full` only for a sink that `readsData`, else it is let go early. */
  readonly data: EntityData | undefined
  /** Its state is that of a row of a load: apply also when the stored version is the same; a newer one stays. */
  readonly fromLoad: boolean
  /**
   * No change of this key with a higher id was handed to this sink before, in this process. Where a sink knows that
   * nothing as new was in the store when it was opened, it need not look before it writes.
   */
  readonly ascending: boolean
  /** Monotonic milliseconds at which the oldest message in it was received. */
  readonly receivedMs: number
  /** Size for the bounds: length of the texts and a constant for what holds them. */
  readonly bytes: number
  /** Messages that are put together in it. */
  readonly messages: number
}

/** Texts in memory that is used again. */
export interface Utf8 {
  readonly memory: Buffer
  readonly at: number
  readonly idLength: number
  readonly jsonLength: number
}

/** A message that cannot be applied, kept with what it was. */
export interface DeadLetter {
  readonly lane: string
  /** '' where the message did not say. */
  readonly id: string
  /** `ms-seq`, '' where the message did not say. */
  readonly streamId: string
  readonly reason: DeadReason
  /** A sentence for people, without values. */
  readonly detail: string
  /** What was received, cut at `DEAD_TEXT_LIMIT` characters; for a merged change, its JSON. */
  readonly text: string
  /** Wall clock, milliseconds. */
  readonly timeMs: number
}

/** `malformed`: not to be understood. `no-base`: a partial of what is not stored. `too-large`, `refused`: by the sink, for good. */
export type DeadReason = 'malformed' | 'unknown-type' | 'no-base' | 'too-large' | 'refused'

/** Characters of a message that a dead letter keeps. */
export const DEAD_TEXT_LIMIT = 16_384

export interface Batch {
  readonly lane: string
  /** In any order: each key once. May be empty, with a cursor or dead letters only. */
  readonly changes: readonly Change[]
  /** To be kept in the same unit, so that the cursor may pass them. */
  readonly dead: readonly DeadLetter[]
  /** Everything up to here is stored once this batch is; undefined where nothing is known yet. */
  readonly cursor: StreamId | undefined
  /**
   * The load that is under way: what is stored belongs to it. A partial is merged only into a base that belongs to it too:
   * an older base may lack changes between the two. Any other partial is answered in `waiting`, as its row may come yet.
   */
  readonly load: string | undefined
}

export interface Applied {
  /** Changes that were stored. */
  readonly applied: number
  /** Changes that met the same or a newer version in the store, and changed nothing. */
  readonly skippedAsOlder: number
  /** Changes that cannot be applied. The sink keeps them as dead letters, in the same unit. */
  readonly dead: readonly { readonly change: Change; readonly reason: DeadReason; readonly detail: string }[]
  /** Partials without a base, only while a load is under way; not stored and not passed: they are handed over again. */
  readonly waiting: readonly Change[]
}

// ── sink ───────────────────────────────────────────────────────────────────────────────────────────────────────────

/** What the store said when the sink was opened, read under the lease. */
export interface SinkState {
  /** Lowest of the cursors of all lanes; undefined where a lane has none. */
  readonly cursor: StreamId | undefined
  /** The load whose data this is, where every lane has the marker of this schema version; undefined where not. */
  readonly load: string | undefined
}

export interface OpenOptions {
  readonly lanes: readonly string[]
  /** The lease is gone, was taken, or the store went back in time: called at most once a session. */
  readonly onLost: (error: Error) => void
  /** Another writer holds the lease, so that `open` waits for it: called at least once then. */
  readonly onWaiting: () => void
  readonly signal: AbortSignal
}

/**
 * Where entities are stored. One session at a time: `open` … `close`; after `onLost`, or an `apply` that rejects with
 * SLUICE_LEASE_LOST, only `close` and then `open` are called.
 */
export interface Sink {
  /** 'redis', 'memory': for logs and metrics. */
  readonly kind: string
  /** It looks into full changes (for lookup keys), so that they are to carry `data`. Costs memory while they wait. */
  readonly readsData: boolean

  /**
   * Takes the lease (waiting for it until `signal` aborts, if another holds it), with a fencing token above every one
   * before it, then reads the state. From then on the sink renews the lease by itself. Safe to call again after it rejected.
   */
  open(options: OpenOptions): Promise<SinkState>

  /**
   * One atomic unit a batch, or single operations with the same guarantee, each harmless when it is done twice: checks
   * the fence, stores each change if nothing newer is stored (a delete leaves a tombstone with its version), corrects the
   * lookups, keeps the dead letters, stores the cursor if it is higher.
   * Rejects with SLUICE_LEASE_LOST when another writer holds the lease, the lease is not in the store any more (it was
   * emptied), or the store is older than what it acknowledged (failover); nothing was stored then. With any other
   * error the outcome may be unknown, and the replicator hands the changes over again, perhaps in newer states: the
   * sink sees to it that a late arrival of the first attempt cannot undo that (by a higher token after a lost connection).
   */
  apply(batch: Batch, signal: AbortSignal): Promise<Applied>

  /**
   * A load begins: takes readiness away before anything else and returns when that is stored. What is stored stays
   * readable. Changes that are applied from now on belong to the load `load`, also the live ones.
   */
  beginLoad(load: string, signal: AbortSignal): Promise<void>

  /**
   * Every row of every page is stored: removes what is in the store, does not belong to `load`, and has no version
   * above `before` (the lowest stream id of a page); then stores the marker of schema version and load.
   * Works in bounded steps, each fenced. Calls `progress` with the number of entities looked at so far.
   * @returns how many were removed
   */
  finishLoad(
    load: string,
    before: StreamId,
    options: { readonly signal: AbortSignal; readonly progress: (scanned: number) => void },
  ): Promise<{ readonly removed: number }>

  /** Rejects when a write would fail now. Must not write. */
  check(signal: AbortSignal): Promise<void>

  /** The newest dead letters first, at most `limit`. */
  deadLetters(limit: number, signal: AbortSignal): Promise<readonly DeadLetter[]>

  /** Gives the lease back, so that a successor starts at once, and closes connections. Never rejects for a lost lease. */
  close(signal: AbortSignal): Promise<void>

  /** JSON facts, no secret; synchronous and cheap. */
  inspect(): Readonly<Record<string, unknown>>
}

// ── source ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/**
 * Takes what a source delivers. Calls are synchronous and cheap; a source calls `message` once a message and keeps
 * nothing of it. `json` is the entity as JSON text, which was checked, '' for a delete; `data` the same parsed, where the
 * source has that at hand: the lanes parse it themselves where they need it.
 */
export interface Receiver {
  message(
    lane: string,
    kind: 'full' | 'partial' | 'delete',
    id: string,
    json: string,
    data: EntityData | undefined,
    at: StreamId,
  ): void
  /**
   * A full state from its bytes, without texts made of them: `id` and `json` from one place to another, the JSON checked, in
   * UTF-8, the id in ASCII. They are read at once and not kept.
   */
  full?(
    lane: string,
    bytes: Buffer,
    idFrom: number,
    idTo: number,
    jsonFrom: number,
    jsonTo: number,
    at: StreamId,
  ): void
  /** Everything up to here was delivered, though nothing of ours may have been in it (a heartbeat says so). */
  reached(at: StreamId): void
  /** What cannot be understood; `at` and `lane` where the source could tell. */
  malformed(text: string, reason: DeadReason, detail: string, lane?: string, at?: StreamId): void
  /** Live from here: everything after `after` will come. `resumed` says that this is the position that was asked for. */
  live(after: StreamId, resumed: boolean): void
  /** The position that was asked for is too old: a load is needed. Messages after `from` come from now on. */
  reload(from: StreamId, reason: string): void
  /** The connection is gone; the source connects again by itself and asks `position` where to go on. */
  disconnected(reason: string): void
}

export interface SourceOptions {
  readonly lanes: readonly string[]
  /** Asked at each connect: resume after this; undefined for "from now on". */
  readonly position: () => StreamId | undefined
  readonly receiver: Receiver
}

/** Where messages come from. Delivers again, for ever, until it is closed. */
export interface Source {
  readonly kind: string
  /** Starts to connect and returns; failures are retried with jittered back-off. */
  open(options: SourceOptions): void
  /** Stops reading: the other side is slowed down by its own means, nothing is thrown away. Idempotent. */
  pause(): void
  resume(): void
  /** Drops the connection and connects again, asking `position` anew: the sink went back. */
  restart(reason: string): void
  /** Rejects while it is not connected. */
  check(signal: AbortSignal): Promise<void>
  /** No message is delivered once it resolves. */
  close(signal: AbortSignal): Promise<void>
  inspect(): Readonly<Record<string, unknown>>
}

// ── loader ─────────────────────────────────────────────────────────────────────────────────────────────────────────

export interface Row {
  readonly id: string
  /** JSON text of the entity. */
  readonly json: string
  readonly data: EntityData | undefined
}

export interface Page {
  readonly lane: string
  readonly rows: readonly Row[]
  /** Every row has at least the effects of all messages up to here. */
  readonly at: StreamId
  /** How many rows the lane has in all, where the server says so: for progress. */
  readonly total: number | undefined
}

/** Reads the whole data set in pages, beside the live stream. */
export interface Loader {
  readonly kind: string
  /** Pages of all lanes, one after another; ends after the last. Retries by itself; rejects when it gives up. */
  pages(lanes: readonly string[], signal: AbortSignal): AsyncIterable<Page>
}
