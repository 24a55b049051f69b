/**
 * Dead letters of a lane, on their way to the sink. Each has a slot among the positions, which keeps the cursor behind its
 * messages until the letter is stored.
 */
import { DEAD_TEXT_LIMIT, type DeadLetter, type DeadReason } from '../contract.ts'
import { streamIdText, type StreamId } from '../stream-id.ts'
import type { Slot } from './slot.ts'

export interface Burial {
  readonly letter: DeadLetter
  readonly slot: Slot
  readonly messages: number
}

export class Burials {
  #waiting: Burial[] = []

  /** Those that wait for a batch. */
  get size(): number {
    return this.#waiting.length
  }

  get letters(): readonly DeadLetter[] {
    return this.#waiting.map(({ letter }) => letter)
  }

  add(burial: Burial): void {
    this.#waiting.push(burial)
  }

  /** The oldest, at most so many, for the batch of this number. */
  take(limit: number, batch: number): readonly Burial[] {
    if (this.#waiting.length === 0) return []
    const taken = this.#waiting.splice(0, limit)
    for (const { slot } of taken) slot.batch = batch
    return taken
  }

  /** Their batch failed: they wait again, in front. */
  putBack(burials: readonly Burial[]): void {
    for (const { slot } of burials) slot.batch = 0
    this.#waiting.unshift(...burials)
  }

  /** Lets those that wait go. @returns of how many messages they were */
  clear(): number {
    const messages = this.#waiting.reduce((sum, burial) => sum + burial.messages, 0)
    this.#waiting = []
    return messages
  }
}

/** `at`: undefined where the message did not say. `text`: what was received, or '' where the sink has it. */
export function letterOf(
  lane: string,
  id: string,
  at: StreamId | undefined,
  reason: DeadReason,
  detail: string,
  text: string,
  timeMs: number,
): DeadLetter {
  return {
    lane,
    id,
    streamId: at === undefined ? '' : streamIdText(at),
    reason,
    detail,
    text: text.length > DEAD_TEXT_LIMIT ? text.slice(0, DEAD_TEXT_LIMIT) : text,
    timeMs,
  }
}
