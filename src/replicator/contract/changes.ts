/** What travels from the lanes to a sink, and what that says of it. */
import type { StreamId } from '../stream-id.ts'

/** A JSON object: what an entity is. */
export type EntityData = Readonly<Record<string, unknown>>

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
