/**
 * How far one shard has been read, so that nothing is read twice and nothing left out, although ids are not committed in
 * their order: a transaction may hold a low id open while higher ones are read.
 *
 *     0 ──── safe ─────────── after ────▶ ids
 *      all read    the gap     not read yet
 *
 * Ids above `after` are new. In the gap, what the last reading's snapshot did not see is read as well. Below `safe` no
 * transaction can add any more: with each reading that went further, a transaction id is noted that is above all that
 * held an id by then; once a reading finds that all below it have ended, the gap begins at where that one ended. A long transaction keeps the gap open, which costs walking its index and nothing else.
 *
 * Below `safe` rows appear all the same when dead tasks are put back under their old ids: `sweep` reads everything once.
 */
import { GAP_PAGE, type KeyedRow, type ReadAhead, type ReadFrom } from './keyed.ts'

interface Mark {
  readonly id: number
  readonly above: bigint
}

/** More are not kept while a long transaction is open: the last one stands for those after it. */
const MAX_MARKS = 64

export class Position {
  #after = 0
  #safe = 0
  #gapFrom = 0
  #seen: string | null = null
  /** The reading that a walk through the gap began with, where one did not reach the end. */
  #walk: Pick<ReadAhead, 'snap' | 'xmin'> | undefined
  #marks: Mark[] = []
  #more = true

  /** The last reading did not come to the end. */
  get more(): boolean {
    return this.#more
  }
  /** Highest id that was read. */
  get after(): number {
    return this.#after
  }

  /** What to read next; with a limit of 0 only the gap. */
  from(shard: number, limit: number): ReadFrom {
    return { shard, after: this.#after, limit, gapFrom: this.#gapFrom, seen: this.#seen }
  }

  /** The next readings walk through everything that was read before. */
  sweep(): void {
    this.#gapFrom = 0
    this.#walk = undefined
  }

  /** `rows`: those of this shard, asked for with `limit`. */
  moved(rows: readonly KeyedRow[], limit: number, { snap, xmin, above }: Omit<ReadAhead, 'rows'>): void {
    let inGap = 0
    let gapEnd = this.#gapFrom
    let end = this.#after
    for (const { id } of rows) {
      if (Number(id) > this.#after) end = Math.max(end, Number(id))
      else {
        inGap++
        gapEnd = Math.max(gapEnd, Number(id))
      }
    }
    if (end > this.#after && above !== null) this.#mark({ id: end, above: BigInt(above) })
    const isCut = inGap >= GAP_PAGE
    if (isCut) {
      this.#walk ??= { snap, xmin }
      this.#gapFrom = gapEnd
    } else this.#endWalk(this.#walk ?? { snap, xmin })
    if (limit > 0) this.#more = isCut || rows.length - inGap >= limit
    else if (isCut) this.#more = true
  }

  #mark(mark: Mark): void {
    this.#after = mark.id
    if (this.#marks.length >= MAX_MARKS) this.#marks.pop()
    this.#marks.push(mark)
  }

  #endWalk({ snap, xmin }: Pick<ReadAhead, 'snap' | 'xmin'>): void {
    this.#seen = snap
    this.#walk = undefined
    const ended = BigInt(xmin)
    for (let mark = this.#marks[0]; mark !== undefined && mark.above <= ended; mark = this.#marks[0]) {
      this.#safe = mark.id
      this.#marks.shift()
    }
    this.#gapFrom = this.#safe
  }
}
