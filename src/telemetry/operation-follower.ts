/** What is told how its body's promise settled. */
export interface Followed {
  bodySucceeded(value: unknown): void
  bodyFailed(error: unknown): void
}

/**
 * Hears how a body's promise settles. Made once and used again for one call after the other, so that a call makes no
 * closures for it; one whose promise never settles is not used again, and goes when the promise goes.
 */
export class Follower {
  readonly #free: Follower[]
  #call: Followed | undefined
  readonly #onValue = (value: unknown): void => this.#take().bodySucceeded(value)
  readonly #onError = (error: unknown): void => this.#take().bodyFailed(error)

  constructor(free: Follower[]) {
    this.#free = free
  }

  follow(call: Followed, outcome: PromiseLike<unknown>): void {
    this.#call = call
    // A thenable that is no plain promise might call back twice, or only once somebody listens: this makes it one.
    Promise.resolve(outcome).then(this.#onValue, this.#onError)
  }

  #take(): Followed {
    const call = this.#call!
    this.#call = undefined
    this.#free.push(this)
    return call
  }
}
