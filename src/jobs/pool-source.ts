/**
 * Tasks without a key: claimed by priority and due time, by whoever asks first. Many at a time are taken as a lot, one
 * write for all of them; few, one by one.
 */
import type { Queryable } from '../engine/database.ts'
import type { Engine } from '../engine/engine.ts'
import { claimTasks } from '../engine/tasks/claim.ts'
import { ClaimPosition } from '../engine/tasks/claim-position.ts'
import { ackTasks, failTasks, type Ended, type Failed, type FailedAnswer } from '../engine/tasks/finish.ts'
import { ackLot, dropUnknown, settleLots, takeLot } from '../engine/tasks/lots.ts'
import type { HeldTask, Lot } from '../engine/tasks/task.ts'
import type { Lease } from '../engine/worker/worker.ts'
import type { DoneTask, GivenBack, SourceHost, TaskSource } from './source.ts'
import { giveBack, keepResults, nextDue } from './statements.ts'

/** Below this a lot is not worth its own row. */
const MIN_LOT = 50
/** A lot that is open for longer is settled: others look past each task of it, and it is seen as running by few. */
const MAX_OPEN_MS = 1_000

/** A statement whose answer did not come is over by then, whatever became of it. */
const UNSURE_MS = 20_000
const DROP_EVERY_MS = 1_000

const NONE: readonly Lot[] = []

export function poolSource(host: SourceHost): TaskSource {
  return new PoolSource(host)
}

class PoolSource implements TaskSource {
  readonly #engine: Engine
  readonly #queueId: number
  readonly #position: ClaimPosition
  readonly #open = new Set<Lot>()
  readonly #now: () => number
  readonly #held: (() => Iterable<string>) | undefined
  /** Under way. */
  #claims = 0
  #unsureUntil = -Infinity
  #droppedAt = -Infinity
  #dropping: Promise<void> | undefined

  constructor({ engine, queueId, held }: SourceHost) {
    this.#engine = engine
    this.#queueId = queueId
    this.#position = new ClaimPosition(engine.clock)
    this.#now = () => engine.clock.monotonic()
    this.#held = held
  }

  async claim(lease: Lease, limit: number): Promise<readonly HeldTask[]> {
    await this.#dropUnknown(lease)
    this.#claims += 1
    try {
      return await (limit < MIN_LOT ? this.#takeOnes(lease, limit) : this.#takeLot(lease, limit))
    } catch (error) {
      this.#claimFailed()
      throw error
    } finally {
      this.#claims -= 1
    }
  }

  async done(on: Queryable, tasks: readonly DoneTask[], lease: Lease): Promise<ReadonlySet<string>> {
    const kept = tasks.filter(isKept)
    const inLots = tasks.filter((task) => isInLot(task) && !isKept(task))
    if (inLots.length === tasks.length) return this.#ackLots(on, inLots, lease)
    const gone = new Set(inLots)
    const rest = tasks.filter((task) => !isKept(task) && !gone.has(task))
    const others = [
      ...(kept.length === 0 ? [] : await keepResults(on, kept, lease.id)),
      ...(rest.length === 0 ? [] : await ackTasks(on, rest, lease.id)),
    ]
    // Counted, so that they must not be written twice because others were refused.
    return new Set([...(await this.#ackLots(on, inLots, lease)), ...others])
  }

  async fail(on: Queryable, tasks: readonly Failed[], lease: Lease): Promise<readonly FailedAnswer[]> {
    await this.#settle(tasks, lease)
    return failTasks(on, tasks, lease.id)
  }

  async release(on: Queryable, tasks: readonly GivenBack[], lease: Lease): Promise<ReadonlySet<string>> {
    await this.#settle(tasks, lease)
    return giveBack(on, tasks, lease.id)
  }

  nextDue(): Promise<number | undefined> {
    return nextDue(this.#engine.db, this.#queueId)
  }

  async tick(lease: Lease): Promise<void> {
    const before = this.#now() - MAX_OPEN_MS
    await this.#settleThese(
      [...this.#open].filter(({ takenAt }) => takenAt <= before),
      lease,
    )
    await this.#dropUnknown(lease)
  }

  reset(): void {
    this.#open.clear()
  }

  close(): Promise<void> {
    return Promise.resolve()
  }

  #takeOnes(lease: Lease, limit: number): Promise<HeldTask[]> {
    return claimTasks(this.#engine.db, this.#queueId, lease.id, limit, this.#position, () =>
      this.#claimFailed(),
    )
  }

  async #takeLot(lease: Lease, limit: number): Promise<readonly HeldTask[]> {
    const { db } = this.#engine
    const { tasks, lot, hasPassed } = await takeLot(
      db,
      this.#queueId,
      lease.id,
      limit,
      this.#position,
      this.#now,
    )
    if (lot !== undefined) this.#open.add(lot)
    if (!hasPassed || tasks.length === limit) return tasks
    try {
      return [...tasks, ...(await this.#takeOnes(lease, limit - tasks.length))]
    } catch (error) {
      if (tasks.length === 0) throw error
      this.#claimFailed()
      return tasks
    }
  }

  /** It may have taken tasks all the same, and its statement may be under way still. */
  #claimFailed(): void {
    this.#unsureUntil = this.#now() + UNSURE_MS
  }

  /** While claims may have taken what nobody here knows of. Claims wait for it. */
  #dropUnknown(lease: Lease): Promise<void> {
    const now = this.#now()
    const isDue = now <= this.#unsureUntil && now >= this.#droppedAt + DROP_EVERY_MS
    if (this.#dropping === undefined && this.#held !== undefined && this.#claims === 0 && isDue) {
      this.#dropping = this.#drop(lease, this.#held).finally(() => (this.#dropping = undefined))
    }
    return this.#dropping ?? Promise.resolve()
  }

  async #drop(lease: Lease, held: () => Iterable<string>): Promise<void> {
    this.#droppedAt = this.#now()
    const dropped = await dropUnknown(this.#engine.db, this.#queueId, lease.id, this.#open, held())
    if (dropped > 0) this.#engine.wake.signal(`q${this.#queueId}`)
  }

  async #ackLots(on: Queryable, tasks: readonly DoneTask[], lease: Lease): Promise<Set<string>> {
    if (tasks.length === 0) return new Set()
    const ids = tasks.map(({ id }) => id)
    // What a transaction of the user's deletes comes back with its rollback: then the lot must be there still.
    const isFinal = on === this.#engine.db
    const counts = isFinal ? countByLot(tasks) : undefined
    const last =
      counts === undefined ? NONE : [...counts.keys()].filter((lot) => lot.left === counts.get(lot))
    const lots = [...new Set(tasks.flatMap(({ lot }) => lot ?? []))]
    const some = await ackLot(on, ids, lots, last, lease.id)
    for (const [lot, count] of counts ?? []) {
      lot.left -= count
      if (lot.left === 0) this.#open.delete(lot)
    }
    if (some === undefined) return new Set(ids)
    const ours = new Set(some)
    if (lots.length > 1 && some.length === 0) {
      // One of the lots was settled meanwhile, and the statement did nothing for the others either.
      for (const lot of lots) {
        const own = tasks.filter((task) => task.lot === lot).map(({ id }) => id)
        const found = await ackLot(on, own, [lot], last.includes(lot) ? [lot] : NONE, lease.id)
        for (const id of found ?? own) ours.add(id)
      }
    }
    const missed = tasks.filter(({ id }) => !ours.has(id))
    for (const id of await ackTasks(on, missed, lease.id)) ours.add(id)
    return ours
  }

  /** Before anything but their deletion is written of them. */
  #settle(tasks: readonly Ended[], lease: Lease): Promise<void> {
    return this.#settleThese([...new Set(tasks.flatMap(({ lot }) => lot ?? []))], lease)
  }

  async #settleThese(lots: readonly Lot[], lease: Lease): Promise<void> {
    const open = lots.filter(({ isSettled }) => !isSettled)
    await settleLots(this.#engine.db, open, lease.id)
    for (const lot of open) this.#open.delete(lot)
  }
}

function isKept(task: DoneTask): boolean {
  return task.keepMs > 0
}

function isInLot({ lot }: DoneTask): boolean {
  return lot !== undefined && !lot.isSettled
}

function countByLot(tasks: readonly DoneTask[]): Map<Lot, number> {
  const counts = new Map<Lot, number>()
  for (const { lot } of tasks) if (lot !== undefined) counts.set(lot, (counts.get(lot) ?? 0) + 1)
  return counts
}
