/**
 * The retry budget: a token bucket that keeps retries from becoming the load that holds a dependency down.
 *
 * A retry takes one token; a success puts `ratio` of one back, up to `capacity`. While everything fails there are
 * therefore at most `capacity` retries in all, and while calls succeed at most `ratio` of them is repeated. This is the
 * retry throttling of gRPC (proposal A6), with the ratio that Finagle and gRPC both recommend.
 */
import { invalidArgument } from '../core/errors.ts'

export interface RetryBudgetOptions {
  /** Retries that may come in one burst; the bucket starts full. @default 10 */
  readonly capacity?: number
  /** Retries earned by one success, 0 to 1. @default 0.1 */
  readonly ratio?: number
}

const defaults = Object.freeze({ capacity: 10, ratio: 0.1 })

export class RetryBudget {
  readonly #capacity: number
  readonly #ratio: number
  #tokens: number

  /** Throws SLUICE_INVALID_ARGUMENT for a number outside its range. */
  constructor(options: RetryBudgetOptions = {}) {
    this.#capacity = options.capacity ?? defaults.capacity
    this.#ratio = options.ratio ?? defaults.ratio
    this.#tokens = this.#capacity
    if (!(this.#capacity >= 0 && this.#capacity < Infinity)) {
      throw invalidArgument('retry budget: capacity', 'a number from 0', this.#capacity)
    }
    if (!(this.#ratio >= 0 && this.#ratio <= 1))
      throw invalidArgument('retry budget: ratio', 'a number from 0 to 1', this.#ratio)
  }

  get tokens(): number {
    return this.#tokens
  }

  succeeded(): void {
    if (this.#tokens < this.#capacity) this.#tokens = Math.min(this.#capacity, this.#tokens + this.#ratio)
  }

  /** Takes a token for one retry; false when there is none left. */
  tryTake(): boolean {
    if (this.#tokens < 1) return false
    this.#tokens -= 1
    return true
  }
}
