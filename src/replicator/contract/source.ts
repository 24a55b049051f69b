/** Where messages come from. */
import type { StreamId } from '../stream-id.ts'
import type { DeadReason, EntityData } from './changes.ts'

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
