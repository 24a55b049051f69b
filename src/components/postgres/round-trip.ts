/**
 * How long the way to the server and back takes: the shortest answer of the last ten to twenty seconds. What is left of
 * an answer's time is the server's work, and that decides how many statements may share a connection.
 */
const WINDOW_MS = 10_000

export class RoundTrip {
  #previous: number
  #current = Infinity
  #since = -Infinity

  /** `first`: what to take until something was observed. */
  constructor(first: number) {
    this.#previous = first
  }

  get ms(): number {
    return Math.min(this.#previous, this.#current)
  }

  /** `ms` of an answer that waited for no other; `now` is monotonic. */
  observe(ms: number, now: number): void {
    if (now - this.#since >= WINDOW_MS) {
      if (this.#current !== Infinity) this.#previous = this.#current
      this.#current = ms
      this.#since = now
    } else if (ms < this.#current) this.#current = ms
  }
}
