/**
 * Keys of one shard whose events wait behind one that failed: the first of each is tried again when it is due, the rest
 * follow in order. A key is out of here when nothing of it waits any more; its events then come from the log again.
 */
import { onAbort } from '../core/abort.ts'
import { Alarm } from '../core/alarm.ts'
import { backoffMs } from '../core/backoff.ts'
import { hasCode, SluiceError, toError } from '../core/errors.ts'
import { errorText } from '../engine/error-text.ts'
import { letGoWhenIdle } from '../engine/let-go.ts'
import { writeApart } from '../engine/log/apart.ts'
import type { CursorOwner } from '../engine/log/cursor.ts'
import {
  claimParked,
  endParked,
  nextParked,
  parkedKeys,
  type ParkedEnd,
  type ParkedTask,
} from '../engine/log/parked.ts'
import { refusalText } from '../engine/refusal.ts'
import { levelOf } from '../engine/repeated.ts'
import { eventOfTask, notRead } from './retries.ts'
import type { SubscriberParts } from './parts.ts'
import { inTransaction } from './transaction.ts'

/** Deliveries that may wait in one shard; when there are more, the shard reads no further. */
const MAX_PARKED = 10_000
/** Hints may be lost: dead letters that were put back are found by then. */
const POLL_MS = 10_000
const BACKOFF = { baseMs: 100, capMs: 3_000 }

export class ParkedKeys {
  readonly #parts: SubscriberParts
  readonly #cursor: CursorOwner
  readonly #alarm: Alarm
  readonly #waiting = new Map<string, number>()
  #total = 0
  #careful = true
  #room: PromiseWithResolvers<void> | undefined

  constructor(parts: SubscriberParts, cursor: CursorOwner) {
    this.#parts = parts
    this.#cursor = cursor
    this.#alarm = new Alarm(parts.engine.clock)
  }

  has(key: string | null): boolean {
    return key !== null && this.#waiting.has(key)
  }

  get keys(): number {
    return this.#waiting.size
  }

  async load(): Promise<void> {
    const { engine, row } = this.#parts
    const keys = await parkedKeys(engine.db, row.queue, this.#cursor.shard)
    this.#waiting.clear()
    this.#total = 0
    for (const { key, waiting } of keys) this.#count(key, waiting)
  }

  /** Says, before it is written, that one more of the key will wait. Waits while there is no room. */
  async add(key: string, signal: AbortSignal): Promise<void> {
    while (this.#total >= MAX_PARKED) {
      this.#room ??= Promise.withResolvers<void>()
      const { promise } = this.#room
      await new Promise<void>((resolve, reject) => {
        const release = onAbort(signal, reject)
        void promise.then(() => {
          release()
          resolve()
        })
      })
    }
    this.#count(key, 1)
  }

  /** It was a task before, and counted then. */
  wasThere(key: string): void {
    this.#left(key)
  }

  /** Something was written, or is due. */
  look(): void {
    this.#alarm.ring()
  }

  /** Until the signal aborts. Rejects with SLUICE_LEASE_LOST only. */
  async run(draining: AbortSignal, signal: AbortSignal): Promise<void> {
    const { engine, row, gate } = this.#parts
    const offHint = engine.wake.on(`q${row.queue}`, () => this.look())
    let failures = 0
    try {
      while (!draining.aborted) {
        let wait = POLL_MS
        try {
          if (!gate.isClosed && (await this.#round(signal)) > 0) continue
          wait = Math.min(POLL_MS, (await nextParked(engine.db, row.queue, this.#cursor.shard)) ?? POLL_MS)
          if (gate.isClosed) wait = POLL_MS
          failures = 0
        } catch (error) {
          if (draining.aborted) return
          if (hasCode(error, 'SLUICE_LEASE_LOST')) throw error
          this.#parts.log[levelOf(++failures)](
            { err: toError(error), failures },
            'parked deliveries could not be tried, and are again',
          )
          wait = 10 + backoffMs(failures, engine.random(), BACKOFF)
        }
        await this.#alarm.wait(wait + 1, draining)
      }
    } finally {
      offHint()
    }
  }

  /** How many were tried. */
  async #round(signal: AbortSignal): Promise<number> {
    const { engine, row, spec } = this.#parts
    const isOneByOne = this.#careful || spec.transaction || spec.handler.kind === 'batch'
    const limit = isOneByOne ? 1 : spec.concurrency
    const tasks = await claimParked(engine.db, row.queue, this.#cursor, limit)
    // One whose attempt before had no answer may have ended its process: it takes no others along.
    this.#careful = tasks.some(({ attempt, errs }) => attempt > (errs?.length ?? 0) + 1)
    // What others put back was not counted here.
    for (const { key } of tasks) if (!this.#waiting.has(key)) this.#count(key, 1)
    const ends = await Promise.all(tasks.map((task) => this.#try(task, signal)))
    const written = ends.filter((end) => end !== undefined)
    if (written.length > 0) {
      const gone = await this.#write(written)
      for (const { id, key } of tasks) if (gone.some((ids) => ids.has(id))) this.#left(key)
    }
    signal.throwIfAborted()
    return tasks.length
  }

  /** Ids of those that wait no more. One that is refused would take the ends of the others along, and they would run again. */
  #write(ends: readonly ParkedEnd[]): Promise<readonly ReadonlySet<string>[]> {
    const { engine, log, spec } = this.#parts
    const write = (some: readonly ParkedEnd[]): Promise<ReadonlySet<string>> =>
      endParked(engine.db, this.#cursor, some)
    return writeApart(ends, write, (end, error) => {
      log.error(
        { err: error, subscription: spec.name },
        'the error of a parked delivery was refused by the database, which has taken a text in its place',
      )
      return write([{ ...end, error: refusalText('the error of a delivery', error) }])
    })
  }

  /** Undefined where the end is written already. */
  async #try(task: ParkedTask, signal: AbortSignal): Promise<ParkedEnd | undefined> {
    const { engine, spec, attempts } = this.#parts
    const event = eventOfTask({ name: task.topic, body: task.body, head: task.head })
    const { id, attempt } = task
    const done: ParkedEnd = { id, delay: null, error: null }
    let error: Error | undefined
    // Whoever has a shard knows all that the subscription reads.
    if (!spec.matches(event.topic)) return { id, delay: -1, error: errorText(notRead(event.topic)) }
    if (attempt > task.maxAttempt) {
      return { id, delay: -1, error: 'the process ended while it was delivered for the last time' }
    }
    try {
      if (spec.transaction) {
        error = await inTransaction({ engine, spec, label: 'sluice.deliver', signal }, async (tx) => {
          const [failure] = await attempts.run([event], { attempt, signal, tx })
          if (failure !== undefined) throw failure
          const [ended] = await Promise.all([endParked(tx, this.#cursor, [done]), letGoWhenIdle(tx)])
          if (ended.size === 0) throw lost(spec.name)
        })
      } else [error] = await attempts.run([event], { attempt, signal })
    } catch (thrown) {
      error = toError(thrown)
    }
    signal.throwIfAborted()
    if (error === undefined) {
      this.#parts.delivered.add(1)
      if (spec.transaction) this.#left(task.key)
      return spec.transaction ? undefined : done
    }
    if (hasCode(error, 'SLUICE_LEASE_LOST')) throw error
    const isLast = attempt >= task.maxAttempt || hasCode(error, 'SLUICE_INVALID_DATA')
    if (isLast) {
      this.#parts.log.error(
        { err: error, subscription: spec.name, eventId: event.row.id, attempt },
        'an event could not be delivered, and is a dead letter now',
      )
    }
    return {
      id,
      delay: isLast ? -1 : backoffMs(attempt, engine.random(), spec.backoff),
      error: errorText(error),
    }
  }

  /** One of the key waits no more. */
  #left(key: string): void {
    this.#total--
    if (this.#total < MAX_PARKED) {
      this.#room?.resolve()
      this.#room = undefined
    }
    const waiting = (this.#waiting.get(key) ?? 1) - 1
    if (waiting > 0) this.#waiting.set(key, waiting)
    else this.#waiting.delete(key)
  }

  #count(key: string, count: number): void {
    this.#waiting.set(key, (this.#waiting.get(key) ?? 0) + count)
    this.#total += count
  }
}

function lost(subscription: string): SluiceError {
  return new SluiceError(
    'SLUICE_LEASE_LOST',
    `subscription "${subscription}": a shard belongs to another process`,
  )
}
