/** Dead letters of subscriptions on a broker alone: they lie on the broker, those of each subscription apart. */
import { invalidArgument, SluiceError } from '../../core/errors.ts'
import { parseTraceparent } from '../../telemetry/trace.ts'
import type { DeadEvent, DeadEventFilter, RedriveEventsOptions, RedrivenEvents } from '../api.ts'
import type { BrokerLetter, EventBroker } from './broker.ts'

const MAX_LISTED = 1_000

export class AloneLetters {
  readonly #broker: EventBroker
  readonly #nameOf: (subscription: string) => string
  readonly #known: () => readonly string[]

  /** `known`: the subscriptions of this process, which are meant where none is named. */
  constructor(broker: EventBroker, nameOf: (subscription: string) => string, known: () => readonly string[]) {
    this.#broker = broker
    this.#nameOf = nameOf
    this.#known = known
  }

  async list({ before, ids, subscription, limit = 100 }: DeadEventFilter): Promise<readonly DeadEvent[]> {
    checkLimit(limit)
    const found: DeadEvent[] = []
    for (const each of this.#named(subscription)) {
      const left = Math.min(MAX_LISTED, limit - found.length)
      if (left === 0) break
      const letters = await this.#broker.letters(this.#nameOf(each), { ids, limit: left })
      found.push(...letters.map((letter) => deadOf(letter, each)))
    }
    return before === undefined ? found : found.filter(({ diedAt }) => diedAt < before)
  }

  async redrive({ canary, ...filter }: RedriveEventsOptions): Promise<RedrivenEvents> {
    if (canary !== undefined && canary > 0) throw cannot('deadLetters.redrive: canary')
    return { redriven: await this.#each(filter, 'redrive'), stopped: false }
  }

  drop(filter: DeadEventFilter): Promise<number> {
    return this.#each(filter, 'drop')
  }

  async #each(
    { before, ids, subscription, limit = 100 }: DeadEventFilter,
    what: 'redrive' | 'drop',
  ): Promise<number> {
    checkLimit(limit)
    if (before !== undefined) throw cannot(`deadLetters.${what}: before`)
    let count = 0
    for (const each of this.#named(subscription)) {
      if (count < limit) count += await this.#broker[what](this.#nameOf(each), { ids, limit: limit - count })
    }
    return count
  }

  #named(subscription: string | undefined): readonly string[] {
    return subscription === undefined ? this.#known() : [subscription]
  }
}

function cannot(what: string): SluiceError {
  return new SluiceError('SLUICE_UNSUPPORTED', `${what}: a broker alone cannot do it`, {
    hint: 'Choose by subscription and limit.',
  })
}

function checkLimit(limit: number): void {
  if (Number.isSafeInteger(limit) && limit >= 1 && limit <= 10_000) return
  throw invalidArgument('deadLetters: limit', 'a whole number from 1 to 10000', limit)
}

function deadOf(letter: BrokerLetter, subscription: string): DeadEvent {
  const { id, topic, key, bytes, attempts, reason, diedAt, publishedAt = diedAt, traceparent } = letter
  return {
    id,
    eventId: id,
    subscription,
    topic,
    key,
    data: dataOf(bytes),
    attempt: attempts,
    errors: [{ at: diedAt, attempt: attempts, error: reason }],
    why: reason,
    traceId: parseTraceparent(traceparent)?.traceId,
    publishedAt,
    diedAt,
  }
}

/** What is no JSON is shown as text. */
function dataOf(bytes: Buffer | undefined): unknown {
  if (bytes === undefined) return undefined
  const text = bytes.toString()
  try {
    return JSON.parse(text) as unknown
  } catch {
    return text
  }
}
