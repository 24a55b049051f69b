/** One shard of a keyed queue in the hands of this worker: its lease, its lanes, and how far it has been read. */
import type { Clock } from '../core/clock.ts'
import type { ShardLease } from '../engine/leases.ts'
import type { LaneTask } from '../engine/tasks/keyed-lane.ts'
import { Lanes, type LanesOptions } from '../engine/tasks/keyed-lanes.ts'
import { Position } from '../engine/tasks/keyed-position.ts'
import type { KeyedClaim, KeyedRow, ReadAhead, ReadFrom } from '../engine/tasks/keyed.ts'

/** The head of a lane that is about to be claimed, or offered to others. */
export interface Picked {
  readonly shard: KeyedShard
  readonly task: LaneTask & KeyedClaim
}

/** Tasks of a shard that are kept in memory; with many keys that are blocked, ten times as many. */
const MAX_TASKS = 5_000
/** New tasks that are read at once. */
export const PAGE = 1_000
/** A task that cannot be claimed, for it belongs to someone still, is looked at again after this long. */
const RECHECK_MS = 500

export class KeyedShard {
  readonly lease: ShardLease
  readonly lanes: Lanes
  readonly #clock: Clock
  readonly #position = new Position()
  readonly #idle = Promise.withResolvers<void>()

  constructor(lease: ShardLease, clock: Clock, options: LanesOptions) {
    this.lease = lease
    this.lanes = new Lanes(options)
    this.#clock = clock
    lease.draining.addEventListener('abort', () => this.#settleWhenIdle(), { once: true })
    lease.signal.addEventListener('abort', () => this.#idle.resolve(), { once: true })
    this.#settleWhenIdle()
  }

  /** Resolves when the shard is to be given up, and nothing of it runs; or at once when it is lost. */
  get given(): Promise<void> {
    return this.#idle.promise
  }
  get isOpen(): boolean {
    return !this.lease.draining.aborted
  }

  /** Tasks that may start now; they count as running. */
  take(limit: number): readonly (LaneTask & KeyedClaim)[] {
    return this.isOpen ? this.#claims(this.lanes.take(limit, this.#clock.monotonic())) : []
  }

  /** The same of those that have no handler here. */
  takeForeign(limit: number): readonly (LaneTask & KeyedClaim)[] {
    return this.isOpen ? this.#claims(this.lanes.takeForeign(limit, this.#clock.monotonic())) : []
  }

  /** Other names have a handler here than before. */
  sortAnew(): void {
    this.lanes.sortAnew(this.#clock.monotonic())
  }

  /** What to read next, for `wanted` lanes that could start something. */
  next(wanted: number): { readonly from: ReadFrom; readonly limit: number } {
    const { lanes } = this
    const now = this.#clock.monotonic()
    const isShort = lanes.readyCount(now) < wanted
    if (isShort && lanes.size >= MAX_TASKS) lanes.trim(now)
    const limit = isShort && lanes.size < 10 * MAX_TASKS ? PAGE : 0
    return { from: this.#position.from(this.lease.shard, limit), limit }
  }

  /** There is more to read that could start. */
  isBehind(wanted: number): boolean {
    const { lanes } = this
    return (
      this.#position.more && lanes.size < 10 * MAX_TASKS && lanes.readyCount(this.#clock.monotonic()) < wanted
    )
  }

  /** Highest id that was read. */
  get readTo(): number {
    return this.#position.after
  }

  sweep(): void {
    this.#position.sweep()
  }

  read(rows: readonly KeyedRow[], limit: number, ahead: Omit<ReadAhead, 'rows'>): void {
    this.add(rows)
    this.#position.moved(rows, limit, ahead)
  }

  add(rows: readonly KeyedRow[]): void {
    const now = this.#clock.monotonic()
    for (const row of rows) {
      this.lanes.add(laneTask(row, now), now)
      if (row.held) this.lanes.block(row.key, now + RECHECK_MS, now)
    }
  }

  /** Keys that had more tasks than are kept were read on. */
  caughtUp(keys: readonly string[], rows: readonly KeyedRow[], to: number, isEnd: boolean): void {
    const now = this.#clock.monotonic()
    this.lanes.caughtUp(
      keys,
      rows.map((row) => laneTask(row, now)),
      to,
      isEnd,
      now,
    )
  }

  remove(id: string): void {
    this.lanes.remove(id, this.#clock.monotonic())
    this.#settleWhenIdle()
  }

  /** It is at its place again, and due after `dueIn`. */
  putBack(id: string, attempt: number, dueIn: number): void {
    const now = this.#clock.monotonic()
    this.lanes.putBack(id, { attempt, dueAt: now + dueIn }, now)
    this.#settleWhenIdle()
  }

  /** It could not be claimed: nothing of its key starts for a while. */
  defer(task: LaneTask, ms = RECHECK_MS): void {
    const now = this.#clock.monotonic()
    this.lanes.block(task.key, now + ms, now)
    this.putBack(task.id, task.attempt, Math.max(0, task.dueAt - now))
  }

  #claims(tasks: readonly LaneTask[]): readonly (LaneTask & KeyedClaim)[] {
    const { shard, epoch } = this.lease
    return tasks.map((task) => ({ ...task, shard, epoch }))
  }

  #settleWhenIdle(): void {
    if (!this.isOpen && this.lanes.running === 0) this.#idle.resolve()
  }
}

export function laneTask(row: KeyedRow, now: number): LaneTask {
  return {
    id: row.id,
    key: row.key,
    name: row.name ?? undefined,
    prio: row.prio,
    attempt: row.attempt,
    dueAt: row.dueIn > 0 ? now + row.dueIn : -Infinity,
  }
}
