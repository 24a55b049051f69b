/**
 * Where a shard stands in the log, and how far that is written down. Writing goes beside the work, one write at a time;
 * what is done and not written is bounded, and comes again after a crash.
 */
import type { Timer } from '../core/clock.ts'
import { hasCode, SluiceError, toError } from '../core/errors.ts'
import { readCursor, type CursorMove, type CursorOwner } from '../engine/log/cursor.ts'
import type { Position } from '../engine/log/window.ts'
import { moment } from '../engine/moments.ts'
import type { SubscriberParts } from './parts.ts'
import { coversPatterns } from './pattern.ts'

/** Events done before the cursor is written. */
const SAVE_EVERY = 100
/** Events done and not written down, at most. */
export const MAX_UNSAVED = 1_000
/** Writes that fail in a row, before the work begins again at what is written. A single one is repeated. */
const MAX_FAILURES = 2
/** Between two writes of a cursor that only passed events of others. */
const IDLE_SAVE_MS = 1_000

export class Cursor {
  readonly #parts: SubscriberParts
  readonly owner: CursorOwner
  /** By which number of what the subscription reads the cursor was read. */
  #reads = 0
  #position: Position = { tick: '0', till: null, pos: '0' }
  #saved = this.#position
  #savedAt = 0
  #unsaved = 0
  #saving: Promise<void> | undefined
  /** It was asked to write while it wrote. */
  #again = false
  #failure: Error | undefined
  /** Writes in a row. */
  #failures = 0
  #later: Timer | undefined
  #isClosed = false

  constructor(parts: SubscriberParts, owner: CursorOwner) {
    this.#parts = parts
    this.owner = owner
  }

  get position(): Position {
    return this.#position
  }

  /** Reads where the shard stands. */
  async load(): Promise<void> {
    await this.#saving
    const found = await readCursor(this.#parts.engine.db, this.owner.ref, this.owner.shard)
    const { spec } = this.#parts
    if (found === undefined) throw leaseLost(spec.name, this.owner.shard)
    const { tick, till, pos, reads, patterns } = found
    if (!coversPatterns(spec.patterns, patterns)) throw new ReadsMore(patterns)
    this.#reads = reads
    this.#failure = undefined
    this.#failures = 0
    this.#again = false
    this.#unsaved = 0
    this.#position = this.#saved = { tick, till, pos }
  }

  /** The move to a position, for whoever writes it. */
  moveTo({ tick, till, pos }: Position): CursorMove {
    return { ...this.owner, tick, till, pos, reads: this.#reads }
  }

  /** Everything before the position is done, `count` events more than before. Throws what writes fail with. */
  move(position: Position, count: number): void {
    if (this.#failures < MAX_FAILURES) this.#forgive()
    if (this.#failure !== undefined) throw this.#failure
    this.#position = position
    this.#unsaved += count
    const { clock } = this.#parts.engine
    if (this.#unsaved >= SAVE_EVERY || clock.monotonic() - this.#savedAt > IDLE_SAVE_MS) {
      this.save()
      return
    }
    this.#saveSoon()
  }

  /** It was written by a transaction of the handler. */
  wasMoved(position: Position): void {
    this.#position = this.#saved = position
    this.#savedAt = this.#parts.engine.clock.monotonic()
  }

  /** Undefined while more may be done; else what to wait for. */
  room(): Promise<void> | undefined {
    return this.#unsaved < MAX_UNSAVED ? undefined : this.#saving
  }

  /** Writes the position of now, after the write that is under way. */
  save(): void {
    if (this.#saving !== undefined) {
      this.#again = true
      return
    }
    if (this.#position === this.#saved) return
    const position = this.#position
    const count = this.#unsaved
    this.#unsaved = 0
    this.#saving = this.#write(position).then(
      () => {
        this.#saving = undefined
        this.#failures = 0
        if (!this.#again) return
        this.#again = false
        this.save()
      },
      (error: unknown) => {
        this.#saving = undefined
        this.#failure = toError(error)
        this.#failures += 1
        this.#unsaved += count
        this.#saveSoon()
      },
    )
  }

  /** Where nothing follows, nobody else would write it, nor repeat a write that failed. */
  #saveSoon(): void {
    if (this.#isClosed) return
    const { clock } = this.#parts.engine
    this.#later ??= clock.setTimer(() => this.#saveLate(), IDLE_SAVE_MS, { keepAlive: false })
  }

  #saveLate(): void {
    this.#later = undefined
    this.#forgive()
    if (this.#failure === undefined) this.save()
  }

  /** A write may be repeated, but not by who is no longer the owner. */
  #forgive(): void {
    if (!hasCode(this.#failure, 'SLUICE_LEASE_LOST')) this.#failure = undefined
  }

  /** Nothing is written by itself any more. */
  close(): void {
    this.#isClosed = true
    this.#later?.cancel()
    this.#later = undefined
  }

  /** Nothing is left to write, so that no write is under way beside a transaction that moves the cursor. */
  async settle(): Promise<void> {
    await this.flush()
    if (this.#failure !== undefined) throw this.#failure
  }

  /** Writes what is not written; one that failed before once more. Never rejects. */
  async flush(): Promise<void> {
    this.#forgive()
    while (this.#failure === undefined && (this.#saving !== undefined || this.#position !== this.#saved)) {
      this.save()
      await this.#saving
    }
  }

  async #write(position: Position): Promise<void> {
    const moved = await this.#parts.moveCursor(this.moveTo(position))
    if (!moved) throw leaseLost(this.#parts.spec.name, this.owner.shard)
    this.#saved = position
    this.#savedAt = this.#parts.engine.clock.monotonic()
    moment('events.moved', 1)
  }
}

/** Another program of the subscription reads what this one does not know. */
export class ReadsMore extends Error {
  readonly patterns: readonly string[]

  constructor(patterns: readonly string[]) {
    super('the subscription reads topics that this program does not know')
    this.patterns = patterns
  }
}

export function leaseLost(subscription: string, shard: number): SluiceError {
  return new SluiceError(
    'SLUICE_LEASE_LOST',
    `subscription "${subscription}": shard ${shard} belongs to another process`,
  )
}
