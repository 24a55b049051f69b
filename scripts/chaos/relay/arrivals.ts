/** Sees from the facts, while they are written, whether events still come through. */
import { setTimeout as sleep } from 'node:timers/promises'
import { Tail } from '../record.ts'

const LOOK_MS = 50

export class Arrivals {
  readonly #tail: Tail
  /** Acknowledged, and no effect yet: when. */
  readonly #underWay = new Map<string, number>()
  /** When the newest of those was acknowledged that had an effect. */
  #newest = 0
  acked = 0

  constructor(file: string) {
    this.#tail = new Tail(file)
  }

  /** Had anything an effect that was acknowledged after this time? */
  since(time: number): boolean {
    for (const fact of this.#tail.read()) {
      if (fact.f === 'ok') {
        this.acked++
        this.#underWay.set(fact.id, fact.t)
      } else if (fact.f === 'effect') {
        this.#newest = Math.max(this.#newest, this.#underWay.get(fact.id) ?? 0)
        this.#underWay.delete(fact.id)
      }
    }
    return this.#newest > time
  }

  /** Resolves when something had, or there is no more patience. */
  async waitFor(time: number, patienceMs: number): Promise<void> {
    const until = Date.now() + patienceMs
    while (!this.since(time) && Date.now() < until) await sleep(LOOK_MS)
  }

  close(): void {
    this.#tail.close()
  }
}
