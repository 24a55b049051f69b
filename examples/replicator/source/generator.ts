/** Makes a stream from a seed: which entity changes, how, and what of it. The same seed makes the same changes. */
import type { Data, Kind, StreamLog } from './stream-log.ts'

export interface GeneratorOptions {
  readonly seed: number
  /** Entities by type. */
  readonly entities: Readonly<Record<string, number>>
  /** 1: every key as often as any other; 3: a tenth of the keys gets half of the changes, and so on. @default 2 */
  readonly skew?: number
  /** Shares of partial and deleting messages. @default 0.3 and 0.02 */
  readonly partials?: number
  readonly deletes?: number
  /** Share of messages that change many entities at once. @default 0.001 */
  readonly bulk?: number
  /** Share of messages that nobody can understand. @default 0 */
  readonly garbage?: number
}

export class Generator {
  readonly #log: StreamLog
  readonly #options: Required<GeneratorOptions>
  readonly #random: () => number
  readonly #lanes: readonly (readonly [name: string, upTo: number, count: number])[]
  #version = 0

  constructor(log: StreamLog, options: GeneratorOptions) {
    this.#log = log
    this.#options = { skew: 2, partials: 0.3, deletes: 0.02, bulk: 0.001, garbage: 0, ...options }
    this.#random = randomFrom(options.seed)
    const total = Object.values(options.entities).reduce((sum, count) => sum + count, 0)
    let upTo = 0
    this.#lanes = Object.entries(options.entities).map(([name, count]) => [
      name,
      (upTo += count / total),
      count,
    ])
  }

  /** Every entity in a first state, without messages. */
  seed(): void {
    for (const [lane, , count] of this.#lanes)
      for (let index = 0; index < count; index++)
        this.#log.seed(lane, `${lane}-${index}`, this.#data(lane, index))
  }

  /** One message, at `ms`. */
  step(ms: number): void {
    const { skew, partials, deletes, bulk, garbage } = this.#options
    const choice = this.#random()
    const [lane, , count] = this.#lanes.find(([, upTo]) => choice < upTo) ?? this.#lanes[0]!
    const index = this.#index(count, skew)
    const what = this.#random()
    if (what < garbage) {
      this.#log.garbage(lane, '{"entity_type":"company","message_type":"full","entity_id":"c', ms)
    } else if (what < garbage + bulk) {
      const items = Array.from({ length: 20 }, () => this.#index(count, 1))
      const unique = [...new Set(items)]
      this.#log.changeMany(
        lane,
        unique.map((each) => ({ id: `${lane}-${each}`, data: this.#data(lane, each) })),
        ms,
      )
    } else if (what < garbage + bulk + deletes) {
      this.#change(lane, 'delete', index, ms)
    } else if (what < garbage + bulk + deletes + partials) {
      this.#change(lane, 'partial', index, ms)
    } else this.#change(lane, 'full', index, ms)
  }

  #change(lane: string, kind: Kind, index: number, ms: number): void {
    const id = `${lane}-${index}`
    // What is not there can only come whole.
    const isThere = this.#log.lanes.get(lane)?.byId.get(id) !== undefined
    if (kind === 'partial' && isThere) {
      const tag = this.#random() < 0.2 ? null : `t${this.#version++ % 97}`
      this.#log.change(lane, 'partial', id, { version: ++this.#version, tag }, ms)
    } else if (kind === 'delete' && isThere) this.#log.change(lane, 'delete', id, {}, ms)
    else this.#log.change(lane, 'full', id, this.#data(lane, index), ms)
  }

  #index(count: number, skew: number): number {
    return Math.floor(count * this.#random() ** skew)
  }

  /** About 300 bytes as JSON. */
  #data(lane: string, index: number): Data {
    this.#version += 1
    return {
      id: `${lane}-${index}`,
      name: `${lane} number ${index}`,
      version: this.#version,
      keys: { slug: `${lane}-${index}`, domain: `${lane}${index}.example` },
      traits: {
        plan: PLANS[this.#version % PLANS.length],
        seats: this.#version % 50,
        active: this.#version % 3 !== 0,
      },
      note: 'lorem ipsum dolor sit amet consectetur adipiscing elit sed do eiusmod tempor incididunt',
    }
  }
}

const PLANS = ['free', 'team', 'business', 'enterprise']

/** mulberry32, of Tommy Ettinger, public domain. */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}
