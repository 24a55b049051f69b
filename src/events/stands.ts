/** Events that shards of this process stand in front of, since nothing may go on without them: for others to see. */
import type { Clock } from '../core/clock.ts'
import { storedText } from '../core/stored-text.ts'
import { errorText } from '../engine/error-text.ts'
import type { Stand } from '../engine/log/waiting.ts'
import type { StoredEvent } from './decode.ts'

/** Told at once; where handlers run side by side, many may stand for one reason. */
const MAX_TOLD = 50
const MAX_ERROR = 500

export class Stands {
  readonly #clock: Clock
  readonly #onChange: () => void
  /** By subscription and event. */
  readonly #all = new Map<string, Omit<Stand, 'ms'> & { readonly since: number }>()

  constructor(clock: Clock, onChange: () => void) {
    this.#clock = clock
    this.#onChange = onChange
  }

  get all(): readonly Stand[] {
    const now = this.#clock.monotonic()
    return [...this.#all.values()]
      .slice(0, MAX_TOLD)
      .map(({ since, ...stand }) => ({ ...stand, ms: now - since }))
  }

  set(
    subscription: string,
    shard: number,
    { row, topic }: StoredEvent,
    { attempt, error }: { readonly attempt: number; readonly error: Error },
  ): void {
    const at = `${subscription} ${row.id}`
    const since = this.#all.get(at)?.since ?? this.#clock.monotonic()
    const text = storedText(errorText(error), MAX_ERROR)
    this.#all.set(at, {
      subscription,
      shard,
      topic,
      event: row.id,
      key: row.key,
      attempt,
      error: text,
      since,
    })
    this.#onChange()
  }

  /** They are delivered, or given up. */
  end(subscription: string, events: readonly StoredEvent[]): void {
    if (this.#all.size === 0) return
    let changed = false
    for (const { row } of events) changed = this.#all.delete(`${subscription} ${row.id}`) || changed
    if (changed) this.#onChange()
  }
}
