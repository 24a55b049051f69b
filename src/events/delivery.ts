/**
 * Events to the handler: a few attempts in memory, then they become tasks, so that one that fails holds up nobody. With
 * `onFail: 'stop'` there is no such end: the shard stays in front of what fails.
 */
import { backoffMs } from '../core/backoff.ts'
import { hasCode } from '../core/errors.ts'
import { errorText } from '../engine/error-text.ts'
import type { Transaction } from '../engine/database.ts'
import { letGoWhenIdle } from '../engine/let-go.ts'
import { moveCursors } from '../engine/log/cursor.ts'
import { spillApart, spillEvents, type Spilled } from '../engine/log/spill.ts'
import type { Position } from '../engine/log/window.ts'
import { moment } from '../engine/moments.ts'
import { isRefusal } from '../engine/refusal.ts'
import type { Outcome } from './attempt.ts'
import { leaseLost, type Cursor } from './cursor.ts'
import type { StoredEvent } from './decode.ts'
import type { ParkedKeys } from './parked.ts'
import type { SubscriberParts } from './parts.ts'
import { inTransaction } from './transaction.ts'

/** Attempts in memory, before an event becomes a task. */
const QUICK_ATTEMPTS = 3
const QUICK_BACKOFF = { baseMs: 50, capMs: 500 }
/** A shard that stops in front of an event waits this long at most. */
const STOP_CAP_MS = 30_000
/** A relay stands as often as its broker is away, and tries often: what it says is not said each time. */
const LOG_EVERY = 50

interface Failure {
  readonly event: StoredEvent
  readonly error: Error
  /** It did nothing wrong itself, and has been through an attempt all the same. */
  readonly isInnocent?: boolean
}

export interface DeliveryCalls {
  /** Aborts when the shard is lost, and when there is no more time. */
  readonly signal: AbortSignal
  /** Aborts when nothing more is to be begun. */
  readonly draining: AbortSignal
  /** Called at each attempt: it is slow, and not stuck. */
  readonly onTry: () => void
}

export class Delivery {
  readonly #parts: SubscriberParts
  readonly #cursor: Cursor
  readonly #parked: ParkedKeys | undefined
  readonly #signal: AbortSignal
  readonly #draining: AbortSignal
  readonly #onTry: () => void

  constructor(
    parts: SubscriberParts,
    cursor: Cursor,
    parked: ParkedKeys | undefined,
    { signal, draining, onTry }: DeliveryCalls,
  ) {
    this.#parts = parts
    this.#cursor = cursor
    this.#parked = parked
    this.#signal = signal
    this.#draining = draining
    this.#onTry = onTry
  }

  /** Resolves when all of them are done, or are tasks. */
  async deliver(events: readonly StoredEvent[]): Promise<void> {
    try {
      await this.#deliver(events)
    } finally {
      this.#parts.stands.end(this.#parts.spec.name, events)
    }
  }

  async #deliver(events: readonly StoredEvent[]): Promise<void> {
    const { attempts } = this.#parts
    let open = await this.#behindParked(events)
    const errors: Errors = new Map()
    for (let attempt = 1; open.length > 0; attempt++) {
      this.#onTry()
      const outcome = await attempts.run(open, { attempt, signal: this.#signal })
      this.#signal.throwIfAborted()
      const failed = this.#failuresOf(open, outcome, attempt)
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
    try {
      await this.#deliverInTransaction(events, behind)
    } finally {
      this.#parts.stands.end(this.#parts.spec.name, events)
    }
  }

  async #deliverInTransaction(events: readonly StoredEvent[], behind: Position): Promise<void> {
    const { engine, attempts, spec } = this.#parts
    const open = await this.#behindParked(events, behind)
    const errors: Errors = new Map()
    for (let attempt = 1; open.length > 0; attempt++) {
      this.#onTry()
      let outcome: Outcome = []
      const failure = await inTransaction(
        { engine, spec, label: 'sluice.deliver', signal: this.#signal },
        async (tx) => {
          outcome = await attempts.run(open, { attempt, signal: this.#signal, tx })
          if (outcome.some((error) => error !== undefined)) throw new HandlerFailed()
          const move = moveCursors(tx, [this.#cursor.moveTo(behind)])
          const [[moved]] = await Promise.all([move, letGoWhenIdle(tx)])
          if (moved !== true) throw leaseLost(spec.name, this.#cursor.owner.shard)
          moment('events.committing', open.length)
        },
      )
      if (failure === undefined) {
        moment('events.handled', open.length)
        this.#cursor.wasMoved(behind)
        return
      }
      const failed = failedTogether(open, outcome, failure)
      remember(errors, failed, attempt)
      if (this.#isOver(failed, attempt)) return this.#spill(failed, attempt, errors, behind)
      await this.#rest(attempt, failed)
    }
  }

  /**
   * Makes tasks of events that may have been under way when a process died, which counts as an attempt: there each one
   * is counted before it runs, so that one that ends its process each time ends as well.
   */
  async spillSuspects(events: readonly StoredEvent[], behind: Position): Promise<void> {
    if (events.length === 0) return
    const pending = events.map((event) => ({ event, error: undefined }))
    await this.#write(pending, 1, { behind })
  }

  /**
   * Those that are not behind one of their key that waits; the others wait behind it from now on. Where these are all
   * of them, the cursor stands at `last` then.
   */
  async #behindParked(events: readonly StoredEvent[], last?: Position): Promise<readonly StoredEvent[]> {
    const parked = this.#parked
    if (parked === undefined || parked.keys === 0) return events
    const behind = events.filter(({ row }) => parked.has(row.key))
    if (behind.length === 0) return events
    const pending = behind.map((event) => ({ event, error: undefined }))
    await this.#write(pending, 0, behind.length === events.length ? { behind: last } : {})
    return events.filter(({ row }) => !parked.has(row.key))
  }

  #failuresOf(events: readonly StoredEvent[], outcome: Outcome, attempt: number): readonly Failure[] {
    const failed: Failure[] = []
    const keys = new Set<string>()
    for (const [index, event] of events.entries()) {
      const { key } = event.row
      const error = outcome[index]
      if (error !== undefined) {
        failed.push({ event, error })
        // Behind one that is not tried again nothing waits.
        if (key !== null && !this.#isLast(error, attempt)) keys.add(key)
      } else if (this.#parts.spec.ordered && key !== null && keys.has(key)) {
        failed.push({ event, error: new Error('an event of its key before it failed'), isInnocent: true })
      }
    }
    return failed
  }

  /** It is not tried again: its attempts are used up, or it does not fit, and will not the next time either. */
  #isLast(error: Error, attempt: number): boolean {
    const { onFail, attempts } = this.#parts.spec
    if (onFail === 'hold') return hasCode(error, 'SLUICE_INVALID_DATA')
    return onFail !== 'stop' && (attempt >= attempts || hasCode(error, 'SLUICE_INVALID_DATA'))
  }

  #isOver(failed: readonly Failure[], attempt: number): boolean {
    const { spec } = this.#parts
    if (spec.onFail === 'stop') return false
    if (spec.onFail === 'hold') return failed.every(({ error }) => hasCode(error, 'SLUICE_INVALID_DATA'))
    return (
      // The last one is left to the task, which ends with it.
      attempt >= Math.min(QUICK_ATTEMPTS, Math.max(1, spec.attempts - 1)) ||
      failed.every(({ error }) => hasCode(error, 'SLUICE_INVALID_DATA'))
    )
  }

  async #rest(attempt: number, failed: readonly Failure[]): Promise<void> {
    const { engine, spec, log, stands: board } = this.#parts
    let backoff = QUICK_BACKOFF
    const stands = spec.onFail === 'stop' || spec.onFail === 'hold'
    if (stands && attempt >= QUICK_ATTEMPTS) {
      backoff = { baseMs: spec.backoff.baseMs, capMs: Math.min(spec.backoff.capMs, STOP_CAP_MS) }
      for (const { event, error, isInnocent } of failed) {
        if (isInnocent !== true) board.set(spec.name, this.#cursor.owner.shard, event, { attempt, error })
      }
      if (spec.onFail === 'stop' || attempt % LOG_EVERY === QUICK_ATTEMPTS)
        log.error(
          { err: failed[0]?.error, subscription: spec.name, eventId: failed[0]?.event.row.id, attempt },
          'a subscription stands in front of an event that fails',
        )
    }
    // One that stands may stand for long: a shutdown does not wait for it, and the event comes again.
    const signal = stands ? this.#draining : this.#signal
    await engine.clock.sleep(backoffMs(attempt, engine.random(), backoff), { signal })
  }

  async #spill(
    failed: readonly Failure[],
    attempt: number,
    errors: Errors,
    behind?: Position,
  ): Promise<void> {
    const { spec, log } = this.#parts
    for (const each of failed.slice(0, 3)) {
      const facts = { err: each.error, subscription: spec.name, eventId: each.event.row.id, attempt }
      if (this.#isDead(each, attempt)) log.error(facts, DEAD)
      else log.warn(facts, 'an event could not be delivered, and is tried again later')
    }
    await this.#write(failed, attempt, { errors, behind })
  }

  #isDead({ error, isInnocent }: Pending, attempt: number): boolean {
    return error !== undefined && isInnocent !== true && this.#isLast(error, attempt)
  }

  async #write(
    failed: readonly Pending[],
    attempt: number,
    { errors, behind }: { readonly errors?: Errors; readonly behind?: Position | undefined },
  ): Promise<void> {
    const { spec, engine, row } = this.#parts
    const parked = spec.onFail === 'park' ? this.#parked : undefined
    const spilled: Spilled[] = []
    for (const each of failed) {
      const { event, error } = each
      const { key } = event.row
      const isDead = this.#isDead(each, attempt)
      const isOrdered = parked !== undefined && key !== null
      if (isOrdered && !isDead) await parked.add(key, this.#signal)
      spilled.push({
        row: event.row,
        topic: event.topic,
        attempt,
        maxAttempt: isDead ? spec.attempts : Math.max(spec.attempts, attempt + 1),
        delayMs:
          isDead || error === undefined ? 0 : backoffMs(Math.max(1, attempt), engine.random(), spec.backoff),
        errors: errors?.get(event) ?? [],
        ordered: isOrdered,
        why: isDead ? errorText(error) : undefined,
      })
    }
    const made = await this.#store(spilled, behind)
    if (made === undefined) throw leaseLost(spec.name, this.#cursor.owner.shard)
    if (parked !== undefined) {
      for (const { row: each, ordered, why } of spilled) {
        if (ordered && why === undefined && each.key !== null && !made.has(each.id)) parked.wasThere(each.key)
      }
      parked.look()
    }
    moment('events.parked', spilled.length)
    engine.wake.signal(`q${row.queue}`)
  }

  async #store(
    spilled: readonly Spilled[],
    behind: Position | undefined,
  ): Promise<ReadonlySet<string> | undefined> {
    const { engine, row, spec, log } = this.#parts
    const { owner } = this.#cursor
    try {
      if (behind === undefined) return await spillEvents(engine.db, row.queue, owner, spilled)
      return await this.#spillAndMove(behind, (tx) => spillEvents(tx, row.queue, owner, spilled))
    } catch (error) {
      if (!isRefusal(error)) throw error
    }
    // It would be refused each time, and the shard would stand here for ever.
    const apart = (tx: Transaction): Promise<ReadonlySet<string> | undefined> =>
      spillApart(tx, row.queue, owner, spilled, (each, error) =>
        log.error({ err: error, subscription: spec.name, eventId: each.row.id }, REFUSED),
      )
    if (behind !== undefined) return this.#spillAndMove(behind, apart)
    return engine.db.transaction(apart, { label: 'sluice.spill', signal: this.#signal })
  }

  /**
   * Both or neither. With the cursor before them, whoever has the shard next would read them again, and by then their
   * tasks may be done: an effect in a transaction would be there twice.
   */
  async #spillAndMove(
    behind: Position,
    spill: (tx: Transaction) => Promise<ReadonlySet<string> | undefined>,
  ): Promise<ReadonlySet<string> | undefined> {
    const { engine } = this.#parts
    // A write that is on its way would set the cursor back.
    await this.#cursor.settle()
    const made = await engine.db.transaction(
      async (tx) => {
        const tasks = await spill(tx)
        if (tasks === undefined) return undefined
        const [[moved]] = await Promise.all([
          moveCursors(tx, [this.#cursor.moveTo(behind)]),
          letGoWhenIdle(tx),
        ])
        if (moved !== true) throw leaseLost(this.#parts.spec.name, this.#cursor.owner.shard)
        return tasks
      },
      { label: 'sluice.spill', signal: this.#signal },
    )
    if (made !== undefined) this.#cursor.wasMoved(behind)
    return made
  }
}

/** Those without an error only wait behind others, or may have been under way in a process that died. */
type Pending = Omit<Failure, 'error'> & { readonly error: Error | undefined }

const REFUSED = 'the error of an event was refused by the database, which has taken a text in its place'
const DEAD = 'an event could not be delivered, and is a dead letter now'

/** Of the attempts of each event; of many the last. */
type Errors = Map<StoredEvent, { readonly attempt: number; readonly error: string }[]>

const MAX_ERRORS = 25

function remember(errors: Errors, failed: readonly Failure[], attempt: number): void {
  // Many of a batch failed for one reason.
  const texts = new Map<Error, string>()
  for (const { event, error } of failed) {
    const text = texts.get(error) ?? errorText(error)
    texts.set(error, text)
    const known = errors.get(event) ?? []
    known.push({ attempt, error: text })
    if (known.length > MAX_ERRORS) known.shift()
    errors.set(event, known)
  }
}

class HandlerFailed extends Error {}

/** Nothing of the transaction was done: for those whose handler failed; where it did not, for all of them alike. */
function failedTogether(
  events: readonly StoredEvent[],
  outcome: Outcome,
  failure: Error,
): readonly Failure[] {
  if (!(failure instanceof HandlerFailed)) return events.map((event) => ({ event, error: failure }))
  const together = new Error('another event of its transaction failed')
  return events.map((event, index): Failure => {
    const error = outcome[index]
    return error === undefined ? { event, error: together, isInnocent: true } : { event, error }
  })
}
