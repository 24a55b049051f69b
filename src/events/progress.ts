/**
 * How far the events of a page are done: they start in order and end in any, and the cursor may stand only where
 * everything before is done.
 */
export class Progress {
  readonly #done: Uint8Array
  #low = 0

  constructor(count: number) {
    this.#done = new Uint8Array(count)
  }

  /** All before this are done. */
  get low(): number {
    return this.#low
  }

  done(index: number): void {
    this.#done[index] = 1
    while (this.#done[this.#low] === 1) this.#low++
  }
}
