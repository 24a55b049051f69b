/** A task as it is handed in, and as a worker gets it. */

/** What goes into the table. Keys are those of the JSON that the statement reads, so they are spelled as columns. */
export interface NewTask {
  readonly queue: number
  /** Name of the job, where it is not the queue's. */
  readonly name?: string | undefined
  /** 0 (first) to 9. */
  readonly prio: number
  /** Shard of the key; 0 without one. */
  readonly shard: number
  /** Milliseconds from now, by the database's clock. */
  readonly delay: number
  /** When it is due, in place of a delay: ISO 8601. */
  readonly run_at?: string | undefined
  readonly max_attempt: number
  readonly key?: string | undefined
  readonly uniq?: string | undefined
  readonly grp?: string | undefined
  /** JSON of the data. */
  readonly body: string
  /** JSON of headers: trace context, request id. */
  readonly head?: string | undefined
}

/** A task that this worker holds. Answers must name id and attempt: a late one of an old attempt changes nothing. */
export interface HeldTask {
  readonly id: string
  readonly queue: number
  readonly name: string | null
  readonly prio: number
  readonly attempt: number
  readonly max_attempt: number
  readonly key: string | null
  readonly uniq: string | null
  readonly grp: string | null
  readonly body: string | null
  readonly head: string | null
  /** Milliseconds since 1970 by the database's clock. */
  readonly run_at: number
  readonly made: number
  /** Errors of the attempts before. */
  readonly errs: readonly TaskError[] | null
  /** That it was taken with; its end goes another way then. */
  readonly lot?: Lot | undefined
}

/** Tasks that were taken in one piece (lots.ts), as their worker sees it. */
export interface Lot {
  readonly id: string
  /** By the monotonic clock. */
  readonly takenAt: number
  /** Tasks whose end is not stored yet. */
  left: number
  /** Its tasks are owned by rows of their own. */
  isSettled: boolean
}

/** One attempt that failed. */
export interface TaskError {
  /** ISO time by the database's clock. */
  readonly at: string
  readonly attempt: number
  readonly error: string
  /** Times in a row that its process died beside which others were held (lone.ts). */
  readonly beside?: number
}
