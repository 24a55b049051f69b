/**
 * The tasks of one shard as its owner knows them: a lane for each key, in which one task at a time runs, in the order
 * of their ids. In memory only, and without a clock of its own: every call says what time it is.
 *
 * - **A failed task keeps its place**: until it is due again, its lane is blocked; the other lanes are not.
 * - **A delayed task has no place before it is due**: those after it run, and once it is due it goes by its id.
 * - **Bounded.** Of a key that has more than `perLane` tasks the rest is left in the database: `behind` says which keys
 *   want to be read again, and from where. Of delayed tasks at most `maxLater` are kept: `lostLater` says from when on
 *   others must be looked for.
 *
 * Invariant: of the tasks of a key that were read and are not done, all below `skippedFrom` are in its lane.
 */
import { TimeHeap } from './keyed-heap.ts'
import { newLane, nextIn, placeOf, takeRipe, type Lane, type LaneTask } from './keyed-lane.ts'

export interface LanesOptions {
  /** Tasks of a key that run at once; above 1 their order is that of their starts. @default 1 */
  readonly width?: number | undefined
  /** Tasks of a key that are kept in memory. @default 200 */
  readonly perLane?: number | undefined
  /** Delayed tasks that are kept in memory. @default 20000 */
  readonly maxLater?: number | undefined
  /** Tasks of that name are for others: `takeForeign` has them, and `take` does not. @default none is */
  readonly isForeign?: ((name: string | undefined) => boolean) | undefined
}

const PRIORITIES = 10
/** Where lanes stand whose next task is for others: behind all priorities. */
const FOREIGN = PRIORITIES

export class Lanes {
  readonly #width: number
  readonly #perLane: number
  readonly #maxLater: number
  readonly #isForeign: (name: string | undefined) => boolean
  readonly #lanes = new Map<string, Lane>()
  /** Every task that waits in a lane, and every one that runs. */
  readonly #waiting = new Set<string>()
  readonly #running = new Map<string, LaneTask>()
  readonly #ready: readonly Set<Lane>[] = Array.from({ length: PRIORITIES }, () => new Set())
  readonly #foreign = new Set<Lane>()
  readonly #times = new TimeHeap<Lane>()
  /** Lanes that lack tasks, so that not all of them have to be asked. */
  readonly #skipping = new Set<Lane>()
  #later = 0
  #lostLater: number | undefined

  constructor({ width = 1, perLane = 200, maxLater = 20_000, isForeign = () => false }: LanesOptions = {}) {
    this.#isForeign = isForeign
    this.#width = width
    this.#perLane = perLane
    this.#maxLater = maxLater
  }

  /** Tasks that wait in memory, delayed ones left out. */
  get size(): number {
    return this.#waiting.size - this.#later
  }
  get running(): number {
    return this.#running.size
  }
  /** Earliest time of a delayed task that was not kept. Asking for it forgets it. */
  takeLostLater(now: number): number | undefined {
    const at = this.#lostLater
    if (at === undefined || at > now) return undefined
    this.#lostLater = undefined
    return at
  }

  /** Lanes whose next task may start. */
  readyCount(now: number): number {
    this.#passTime(now)
    let count = 0
    for (const lanes of this.#ready) count += lanes.size
    return count
  }

  /** A task that was read. One that is known already is left as it is. */
  add(task: LaneTask, now: number): void {
    if (this.#waiting.has(task.id) || this.#running.has(task.id)) return
    const lane = this.#lane(task.key)
    const isLater = task.attempt === 0 && task.dueAt > now
    if (isLater) this.#addLater(lane, task)
    else this.#insert(lane, task)
    this.#place(lane, now)
  }

  /** Up to `limit` tasks that may start, the most urgent first, of each lane as many as it is wide. They run from now on. */
  take(limit: number, now: number): LaneTask[] {
    this.#passTime(now)
    const taken: LaneTask[] = []
    for (const lanes of this.#ready) this.#takeFrom(lanes, limit, now, taken)
    return taken
  }

  /** The same of those that are for others. */
  takeForeign(limit: number, now: number): LaneTask[] {
    this.#passTime(now)
    const taken: LaneTask[] = []
    this.#takeFrom(this.#foreign, limit, now, taken)
    return taken
  }

  /** What is for others has changed. */
  sortAnew(now: number): void {
    for (const lane of this.#lanes.values()) this.#place(lane, now)
  }

  /** It is done, dead or cancelled: the next of its key may run. */
  remove(id: string, now: number): void {
    const task = this.#running.get(id)
    if (task === undefined) return
    this.#running.delete(id)
    const lane = this.#lane(task.key)
    lane.running--
    this.#place(lane, now)
  }

  /** It does not run after all, or failed: it is back at its place, due at `dueAt`. */
  putBack(id: string, change: { readonly attempt: number; readonly dueAt: number }, now: number): void {
    const task = this.#running.get(id)
    if (task === undefined) return
    this.#running.delete(id)
    const lane = this.#lane(task.key)
    lane.running--
    this.add({ ...task, ...change }, now)
  }

  /** Nothing of the key starts before. */
  block(key: string, until: number, now: number): void {
    const lane = this.#lane(key)
    lane.blockedUntil = Math.max(lane.blockedUntil, until)
    this.#place(lane, now)
  }

  /** Keys that had more tasks than are kept, and have room for them now; `from` is the lowest id of what they lack. */
  behind(): { readonly keys: readonly string[]; readonly from: number } | undefined {
    const keys: string[] = []
    let from = Infinity
    for (const lane of this.#skipping) {
      if (lane.skippedFrom === undefined || lane.tasks.length > this.#perLane / 4) continue
      keys.push(lane.key)
      from = Math.min(from, lane.skippedFrom)
    }
    return keys.length === 0 ? undefined : { keys, from }
  }

  /** Keys of `behind` were read up to, and with, the id `to`: to the end of what was ever read where `isEnd`. */
  caughtUp(
    keys: readonly string[],
    rows: readonly LaneTask[],
    to: number,
    isEnd: boolean,
    now: number,
  ): void {
    for (const key of keys) {
      const lane = this.#lane(key)
      lane.skippedFrom = isEnd ? undefined : Math.max(to + 1, lane.skippedFrom ?? 0)
      if (isEnd) this.#skipping.delete(lane)
    }
    for (const row of rows) this.add(row, now)
    for (const key of keys) this.#place(this.#lane(key), now)
  }

  /** Makes room: of lanes that cannot start anything only the first task is kept. */
  trim(now: number): void {
    this.#passTime(now)
    for (const lane of this.#lanes.values()) {
      if (lane.ready === undefined && lane.tasks.length > 1) this.#cut(lane, 1)
    }
  }

  /** When a lane may go on by itself; undefined where none waits for a time. */
  nextDue(): number | undefined {
    const at = this.#times.peek()
    if (this.#lostLater === undefined) return at
    return Math.min(at ?? Infinity, this.#lostLater)
  }

  #takeFrom(lanes: ReadonlySet<Lane>, limit: number, now: number, taken: LaneTask[]): void {
    for (const lane of lanes) {
      if (taken.length >= limit) return
      this.#ripen(lane, now)
      const [task] = lane.tasks.splice(nextIn(lane, this.#width === 1, now), 1)
      if (task === undefined) continue
      this.#waiting.delete(task.id)
      this.#running.set(task.id, task)
      lane.running++
      taken.push(task)
      this.#place(lane, now)
    }
  }

  #lane(key: string): Lane {
    let lane = this.#lanes.get(key)
    if (lane === undefined) {
      lane = newLane(key)
      this.#lanes.set(key, lane)
    }
    return lane
  }

  #insert(lane: Lane, task: LaneTask): void {
    const id = Number(task.id)
    if (lane.skippedFrom !== undefined && id >= lane.skippedFrom) return
    const { tasks } = lane
    const at = placeOf(lane, id)
    // One that comes back to its place is kept whatever there is; the last one makes room.
    if (at >= this.#perLane) return this.#skip(lane, id)
    tasks.splice(at, 0, task)
    this.#waiting.add(task.id)
    if (tasks.length > this.#perLane) this.#cut(lane, this.#perLane)
  }

  #cut(lane: Lane, keep: number): void {
    const [first, ...rest] = lane.tasks.splice(keep)
    if (first === undefined) return
    for (const { id } of [first, ...rest]) this.#waiting.delete(id)
    this.#skip(lane, Number(first.id))
  }

  #skip(lane: Lane, id: number): void {
    lane.skippedFrom = Math.min(lane.skippedFrom ?? Infinity, id)
    this.#skipping.add(lane)
  }

  #addLater(lane: Lane, task: LaneTask): void {
    if (this.#later >= this.#maxLater) {
      this.#lostLater = Math.min(this.#lostLater ?? Infinity, task.dueAt)
      return
    }
    lane.later.push(task)
    lane.nextLater = Math.min(lane.nextLater, task.dueAt)
    this.#later++
    this.#waiting.add(task.id)
  }

  #passTime(now: number): void {
    for (let lane = this.#times.shift(now); lane !== undefined; lane = this.#times.shift(now)) {
      lane.timer = Infinity
      this.#place(lane, now)
    }
  }

  /** Puts the lane where it belongs now: among the ready ones, among those that wait for a time, or away. */
  #place(lane: Lane, now: number): void {
    this.#ripen(lane, now)
    if (lane.ready !== undefined) this.#readyAt(lane.ready).delete(lane)
    lane.ready = undefined
    if (lane.running >= this.#width) return
    const next = lane.tasks[nextIn(lane, this.#width === 1, now)]
    const from = Math.max(lane.blockedUntil, next?.dueAt ?? -Infinity)
    if (next !== undefined && from <= now) {
      lane.ready = this.#isForeign(next.name) ? FOREIGN : Math.min(Math.max(next.prio, 0), PRIORITIES - 1)
      this.#readyAt(lane.ready).add(lane)
      return
    }
    const at =
      next === undefined && lane.blockedUntil <= now ? lane.nextLater : Math.min(from, lane.nextLater)
    if (at < Infinity) this.#lookAt(lane, at)
    else if (lane.running === 0 && lane.skippedFrom === undefined) this.#lanes.delete(lane.key)
  }

  #readyAt(at: number): Set<Lane> {
    return this.#ready[at] ?? this.#foreign
  }

  #lookAt(lane: Lane, at: number): void {
    if (at >= lane.timer) return
    lane.timer = at
    this.#times.push(at, lane)
  }

  /** Delayed tasks that are due by now take their place. */
  #ripen(lane: Lane, now: number): void {
    const ripe = takeRipe(lane, now)
    this.#later -= ripe.length
    for (const task of ripe) {
      this.#waiting.delete(task.id)
      this.#insert(lane, task)
    }
  }
}
