/**
 * What the lanes of a keyed queue are filled from: new tasks as they come, those that a lane had no room for, delayed
 * ones that were too many, and now and then all that was read before, for what was put back under an old id.
 */
import { readAhead, readKeys, readLater } from '../engine/tasks/keyed.ts'
import type { KeyedShard } from './keyed-shard.ts'
import type { SourceHost } from './source.ts'

/** Between two looks for new tasks without a hint. */
export const READ_EVERY_MS = 1_000
/** Between two walks through all that was read before. */
const SWEEP_EVERY_MS = 30_000
/** Readings for one claim, at most. */
const MAX_READINGS = 4
const CATCH_UP = 2_000
const MAX_LATER = 10_000

export class KeyedReader {
  readonly #host: SourceHost
  #isStale = true
  #readAt = -Infinity
  #sweptAt: number

  constructor(host: SourceHost) {
    this.#host = host
    this.#sweptAt = host.engine.clock.monotonic()
  }

  /** A hint came since it read last, or nobody knows. */
  get isStale(): boolean {
    return this.#isStale
  }

  /** There may be new tasks. */
  hint(): void {
    this.#isStale = true
  }

  /** It was looked for them elsewhere. */
  hasLooked(): void {
    this.#isStale = false
  }

  /** The next reading begins at the beginning. */
  sweepNext(): void {
    this.#sweptAt = -Infinity
  }

  /** Reads until there is enough to start `wanted` tasks, or nothing more. */
  async read(shards: ReadonlyMap<number, KeyedShard>, wanted: number): Promise<void> {
    const { clock } = this.#host.engine
    const share = Math.ceil(wanted / Math.max(1, shards.size))
    const now = clock.monotonic()
    if (now - this.#sweptAt > SWEEP_EVERY_MS) {
      this.#sweptAt = now
      this.#isStale = true
      for (const shard of shards.values()) shard.sweep()
    }
    for (let reading = 0; reading < MAX_READINGS; reading++) {
      const open = [...shards.values()].filter(({ isOpen }) => isOpen)
      await this.#catchUp(open)
      const isDue = this.#isStale || clock.monotonic() - this.#readAt >= READ_EVERY_MS
      const behind = isDue ? open : open.filter((shard) => shard.isBehind(share))
      if (behind.length === 0) return
      await this.#readAhead(behind, share)
    }
  }

  async #readAhead(shards: readonly KeyedShard[], share: number): Promise<void> {
    const { engine, queueId } = this.#host
    const asked = shards.map((shard) => ({ shard, ...shard.next(share) }))
    this.#isStale = false
    this.#readAt = engine.clock.monotonic()
    try {
      const { rows, ...ahead } = await readAhead(
        engine.db,
        queueId,
        asked.map(({ from }) => from),
      )
      const byShard = Map.groupBy(rows, (row) => row.shard)
      for (const { shard, limit } of asked) shard.read(byShard.get(shard.lease.shard) ?? [], limit, ahead)
    } catch (error) {
      this.#isStale = true
      throw error
    }
  }

  /** Reads what lanes lack, and delayed tasks that were too many. */
  async #catchUp(shards: readonly KeyedShard[]): Promise<void> {
    const { engine, queueId } = this.#host
    for (const shard of shards) {
      const { lanes, readTo, lease } = shard
      const behind = lanes.behind()
      if (behind !== undefined) {
        const range = { from: behind.from, to: readTo, limit: CATCH_UP }
        const rows = await readKeys(engine.db, queueId, lease.shard, range, behind.keys)
        const isEnd = rows.length < CATCH_UP
        shard.caughtUp(behind.keys, rows, isEnd ? readTo : Number(rows.at(-1)?.id), isEnd)
      }
      const now = engine.clock.monotonic()
      const later = lanes.takeLostLater(now)
      if (later === undefined) continue
      const range = { to: readTo, limit: MAX_LATER, dueIn: later - now - 1_000 }
      shard.add(await readLater(engine.db, queueId, lease.shard, range))
    }
  }
}
