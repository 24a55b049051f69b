/** One lane: the tasks of one key that are in memory, and where it stands among the lanes of its shard. */

export interface LaneTask {
  readonly id: string
  readonly key: string
  /** Where it is not the queue's. */
  readonly name?: string | undefined
  readonly prio: number
  /** Attempts so far: a task that had one keeps its place. */
  readonly attempt: number
  /** Time from which it may run. */
  readonly dueAt: number
}

export interface Lane {
  readonly key: string
  /** By id. */
  tasks: LaneTask[]
  /** Delayed, not due when they were read. */
  later: LaneTask[]
  /** When the first of them is due. */
  nextLater: number
  running: number
  blockedUntil: number
  /** The lowest id of what was left in the database. */
  skippedFrom: number | undefined
  /** Where it stands among the ready ones. */
  ready: number | undefined
  /** When it is looked at again. */
  timer: number
}

export function newLane(key: string): Lane {
  return {
    key,
    tasks: [],
    later: [],
    nextLater: Infinity,
    running: 0,
    blockedUntil: -Infinity,
    skippedFrom: undefined,
    ready: undefined,
    timer: Infinity,
  }
}

/** Where a task belongs by its id: mostly at the end. */
export function placeOf({ tasks }: Lane, id: number): number {
  let at = tasks.length
  while (at > 0 && Number(tasks[at - 1]?.id) > id) at--
  return at
}

/** Takes out the delayed tasks that are due by now. */
export function takeRipe(lane: Lane, now: number): readonly LaneTask[] {
  if (lane.nextLater > now) return []
  const ripe = lane.later.filter(({ dueAt }) => dueAt <= now)
  lane.later = lane.later.filter(({ dueAt }) => dueAt > now)
  lane.nextLater = lane.later.reduce((next, { dueAt }) => Math.min(next, dueAt), Infinity)
  return ripe
}

/** Which one starts next: the first, also while it is not due; where order is no promise, the first that is due. */
export function nextIn({ tasks }: Lane, isOrdered: boolean, now: number): number {
  if (isOrdered) return 0
  return Math.max(
    tasks.findIndex(({ dueAt }) => dueAt <= now),
    0,
  )
}
