/**
 * Where a shard stands in the log, and how far that is written down. Writing goes beside the work, one write at a time;
 * what is done and not written is bounded, and comes again after a crash.
 */
import type { Timer } from '../core/clock.ts'
import { SluiceError, toError } from '../core/errors.ts'
import { readCursor, type CursorMove, type CursorOwner } from '../engine/log/cursor.ts'
import type { Position } from '../engine/log/window.ts'
import { moment } from '../engine/moments.ts'
import type { SubscriberParts } from './parts.ts'
import { coversPatterns } from './pattern.ts'

/** Events done before the cursor is written. */
const SAVE_EVERY = 100
/** Events done and not written down, at most. */
export const MAX_UNSAVED = 1_000
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
  #later: Timer | undefined

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
    this.#again = false
    this.#unsaved = 0
    this.#position = this.#saved = { tick, till, pos }
  }

  /** The move to a position, for whoever writes it. */
  moveTo({ tick, till, pos }: Position): CursorMove {
    return { ...this.owner, tick, till, pos, reads: this.#reads }
  }

  /** Everything before the position is done, `count` events more than before. Throws what a write failed with. */
  move(position: Position, count: number): void {
    if (this.#failure !== undefined) throw this.#failure
    this.#position = position
    this.#unsaved += count
    const { clock } = this.#parts.engine
    if (this.#unsaved >= SAVE_EVERY || clock.monotonic() - this.#savedAt > IDLE_SAVE_MS) {
      this.save()
      return
    }
    // Where nothing follows, nobody else would write it.
    this.#later ??= clock.setTimer(() => this.#saveLate(), IDLE_SAVE_MS, { keepAlive: false })
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
    this.#unsaved = 0
    this.#saving = this.#write(position).then(
      () => {
        this.#saving = undefined
        if (!this.#again) return
        this.#again = false
        this.save()
      },
      (error: unknown) => {
        this.#saving = undefined
        this.#failure = toError(error)
      },
    )
  }

  #saveLate(): void {
    this.#later = undefined
    if (this.#failure === undefined) this.save()
  }

  /** Nothing is written by itself any more. */
  close(): void {
    this.#later?.cancel()
    this.#later = undefined
  }

  /** Writes what is not written. Never rejects. */
  async flush(): Promise<void> {
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
