/**
 * Gathers what is written in one turn of the event loop into one write. The driver makes a system call a message; with a
 * thousand confirms coming in bursts that is a third of what a publish costs this process.
 */
import type { Socket } from 'node:net'

export class Corker {
  readonly #socket: Socket | undefined
  #corked = false

  constructor(socket: Socket | undefined) {
    this.#socket = socket
  }

  /** Call before a write. What is written until the end of this turn leaves together. */
  hold(): void {
    if (this.#corked || this.#socket === undefined) return
    this.#corked = true
    this.#socket.cork()
    setImmediate(this.#release)
  }

  readonly #release = (): void => {
    this.#corked = false
    this.#socket?.uncork()
  }
}
