/**
 * Events to the handler: a few attempts in memory, then they become tasks, so that one that fails holds up nobody. With
 * `onFail: 'stop'` there is no such end: the shard stays in front of what fails.
 */
import { backoffMs } from '../core/backoff.ts'
import { hasCode } from '../core/errors.ts'
import { moveCursors } from '../engine/log/cursor.ts'
import { spillEvents, type Spilled } from '../engine/log/spill.ts'
import type { Position } from '../engine/log/window.ts'
import { moment } from '../engine/moments.ts'
import type { Outcome } from './attempt.ts'
import { leaseLost, type Cursor } from './cursor.ts'
import type { StoredEvent } from './decode.ts'
import type { ParkedKeys } from './parked.ts'
import type { SubscriberParts } from './parts.ts'

/** Attempts in memory, before an event becomes a task. */
const QUICK_ATTEMPTS = 3
const QUICK_BACKOFF = { baseMs: 50, capMs: 500 }
/** A shard that stops in front of an event waits this long at most. */
const STOP_CAP_MS = 30_000

interface Failure {
  readonly event: StoredEvent
  readonly error: Error
}

export class Delivery {
  readonly #parts: SubscriberParts
  readonly #cursor: Cursor
  readonly #parked: ParkedKeys | undefined
  readonly #signal: AbortSignal
  /** Called at each attempt: it is slow, and not stuck. */
  readonly #onTry: () => void

  constructor(
    parts: SubscriberParts,
    cursor: Cursor,
    parked: ParkedKeys | undefined,
    signal: AbortSignal,
    onTry: () => void,
  ) {
    this.#parts = parts
    this.#cursor = cursor
    this.#parked = parked
    this.#signal = signal
    this.#onTry = onTry
  }

  /** Resolves when all of them are done, or are tasks. */
  async deliver(events: readonly StoredEvent[]): Promise<void> {
    const { attempts } = this.#parts
    let open = await this.#behindParked(events)
    const errors: Errors = new Map()
    for (let attempt = 1; open.length > 0; attempt++) {
      this.#onTry()
      const outcome = await attempts.run(open, { attempt, signal: this.#signal })
      this.#signal.throwIfAborted()
      const failed = this.#failuresOf(open, outcome)
      moment('events.handled', open.length - failed.length)
      if (failed.length === 0) return
      remember(errors, failed, attempt)
      if (this.#isOver(failed, attempt)) return this.#spill(failed, attempt, errors)
      open = failed.map(({ event }) => event)
      await this.#rest(attempt, failed)
    }
  }

  /** The same in one transaction with the cursor, which then stands at `behind`. */
  async deliverInTransaction(events: readonly StoredEvent[], behind: Position): Promise<void> {
    const { engine, attempts, spec } = this.#parts
    const open = await this.#behindParked(events)
    const errors: Errors = new Map()
    for (let attempt = 1; open.length > 0; attempt++) {
      this.#onTry()
      let outcome: Outcome = []
      try {
        await engine.db.transaction(
          async (tx) => {
            outcome = await attempts.run(open, { attempt, signal: this.#signal, tx })
            if (outcome.some((error) => error !== undefined)) throw new HandlerFailed()
            const [moved] = await moveCursors(tx, [{ ...this.#cursor.owner, ...behind }])
            if (moved !== true) throw leaseLost(spec.name, this.#cursor.owner.shard)
          },
          { label: 'sluice.deliver', signal: this.#signal },
        )
        moment('events.handled', open.length)
        this.#cursor.wasMoved(behind)
        return
      } catch (error) {
        this.#signal.throwIfAborted()
        if (!(error instanceof HandlerFailed)) throw error
      }
      const together = new Error('another event of its transaction failed')
      const failed = open.map((event, index): Failure => ({ event, error: outcome[index] ?? together }))
      remember(errors, failed, attempt)
      if (this.#isOver(failed, attempt)) return this.#spill(failed, attempt, errors)
      await this.#rest(attempt, failed)
    }
  }

  /**
   * Makes tasks of events that may have been under way when a process died, which counts as an attempt: there each one
   * is counted before it runs, so that one that ends its process each time ends as well.
   */
  async spillSuspects(events: readonly StoredEvent[]): Promise<void> {
    if (events.length > 0)
      await this.#write(
        events.map((event) => ({ event, error: undefined })),
        1,
      )
  }

  /** Those that are not behind one of their key that waits; the others wait behind it from now on. */
  async #behindParked(events: readonly StoredEvent[]): Promise<readonly StoredEvent[]> {
    const parked = this.#parked
    if (parked === undefined || parked.keys === 0) return events
    const behind = events.filter(({ row }) => parked.has(row.key))
    if (behind.length === 0) return events
    await this.#write(
      behind.map((event) => ({ event, error: undefined })),
      0,
    )
    return events.filter(({ row }) => !parked.has(row.key))
  }

  #failuresOf(events: readonly StoredEvent[], outcome: Outcome): readonly Failure[] {
    const failed: Failure[] = []
    const keys = new Set<string>()
    for (const [index, event] of events.entries()) {
      const { key } = event.row
      const error = outcome[index]
      if (error !== undefined) {
        failed.push({ event, error })
        if (key !== null) keys.add(key)
      } else if (this.#parts.spec.ordered && key !== null && keys.has(key)) {
        failed.push({ event, error: new Error('an event of its key before it failed') })
      }
    }
    return failed
  }

  #isOver(failed: readonly Failure[], attempt: number): boolean {
    const { spec } = this.#parts
    if (spec.onFail === 'stop') return false
    return (
      // The last one is left to the task, which ends with it.
      attempt >= Math.min(QUICK_ATTEMPTS, Math.max(1, spec.attempts - 1)) ||
      failed.every(({ error }) => hasCode(error, 'SLUICE_INVALID_DATA'))
    )
  }

  async #rest(attempt: number, failed: readonly Failure[]): Promise<void> {
    const { engine, spec } = this.#parts
    let backoff = QUICK_BACKOFF
    if (spec.onFail === 'stop' && attempt >= QUICK_ATTEMPTS) {
      backoff = { baseMs: spec.backoff.baseMs, capMs: Math.min(spec.backoff.capMs, STOP_CAP_MS) }
      engine.log.error(
        { err: failed[0]?.error, subscription: spec.name, eventId: failed[0]?.event.row.id, attempt },
        'a subscription stands in front of an event that fails',
      )
    }
    await engine.clock.sleep(backoffMs(attempt, engine.random(), backoff), { signal: this.#signal })
  }

  async #spill(failed: readonly Failure[], attempt: number, errors: Errors): Promise<void> {
    const { spec, engine } = this.#parts
    for (const { event, error } of failed.slice(0, 3)) {
      engine.log.warn(
        { err: error, subscription: spec.name, eventId: event.row.id, attempt },
        'an event could not be delivered, and is tried again later',
      )
    }
    await this.#write(failed, attempt, errors)
  }

  async #write(
    failed: readonly { readonly event: StoredEvent; readonly error: Error | undefined }[],
    attempt: number,
    errors?: Errors,
  ): Promise<void> {
    const { spec, engine, row } = this.#parts
    const parked = spec.onFail === 'park' ? this.#parked : undefined
    const spilled: Spilled[] = []
    for (const { event, error } of failed) {
      const { key } = event.row
      const isKept = parked !== undefined && key !== null
      if (isKept) await parked.add(key, this.#signal)
      // What does not fit will not fit the next time either: it is tried once more as a task, which then is dead.
      const isHopeless = hasCode(error, 'SLUICE_INVALID_DATA')
      spilled.push({
        row: event.row,
        topic: event.topic,
        attempt,
        maxAttempt: isHopeless ? attempt + 1 : Math.max(spec.attempts, attempt + 1),
        delayMs:
          isHopeless || error === undefined
            ? 0
            : backoffMs(Math.max(1, attempt), engine.random(), spec.backoff),
        errors: errors?.get(event) ?? [],
        ordered: isKept,
      })
    }
    const made = await spillEvents(engine.db, row.queue, this.#cursor.owner, spilled)
    if (made === undefined) throw leaseLost(spec.name, this.#cursor.owner.shard)
    if (parked !== undefined) {
      for (const { row: each, ordered } of spilled) {
        if (ordered && each.key !== null && !made.has(each.id)) parked.wasThere(each.key)
      }
      parked.look()
    }
    moment('events.parked', spilled.length)
    engine.wake.signal(`q${row.queue}`)
  }
}

/** Of the attempts of each event; of many the last. */
type Errors = Map<StoredEvent, { readonly attempt: number; readonly error: string }[]>

const MAX_ERRORS = 25

function remember(errors: Errors, failed: readonly Failure[], attempt: number): void {
  for (const { event, error } of failed) {
    const known = errors.get(event) ?? []
    known.push({ attempt, error: error.message })
    if (known.length > MAX_ERRORS) known.shift()
    errors.set(event, known)
  }
}

class HandlerFailed extends Error {}
