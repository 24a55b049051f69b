/**
 * Messages that wait to be sent, in the order in which they are to arrive: first those that were sent already, on a
 * channel that ended, then the others. Nobody goes before somebody who waits.
 */
import { onAbort } from '../../../core/abort.ts'

interface Waiter {
  readonly go: () => void
  readonly reject: (reason: unknown) => void
}

/** Sent in one turn of the event loop: whatever the broker says meanwhile is to be heard. */
const AT_ONCE = 256

export class Line {
  readonly #sentBefore = new Set<Waiter>()
  readonly #others = new Set<Waiter>()
  readonly #mayGo: () => boolean
  #goesOn = false

  /** `mayGo` says whether one more may be sent now. */
  constructor(mayGo: () => boolean) {
    this.#mayGo = mayGo
  }

  get waiting(): number {
    return this.#sentBefore.size + this.#others.size
  }

  /** Calls `send` when its turn has come, and resolves with the answer. */
  wait<T extends object>(
    send: () => T,
    { wasSent, signal }: { readonly wasSent: boolean; readonly signal: AbortSignal },
  ): Promise<T> {
    const line = wasSent ? this.#sentBefore : this.#others
    return new Promise((resolve, reject) => {
      signal.throwIfAborted()
      const waiter: Waiter = {
        go: () => {
          release()
          resolve(send())
        },
        reject: (reason) => {
          release()
          reject(reason)
        },
      }
      line.add(waiter)
      const release = onAbort(signal, (reason) => {
        line.delete(waiter)
        reject(reason)
      })
    })
  }

  /** There may be room. */
  move(): void {
    for (let left = AT_ONCE; left > 0 && this.waiting > 0 && this.#mayGo(); left -= 1) {
      const line = this.#sentBefore.size > 0 ? this.#sentBefore : this.#others
      const [first] = line
      line.delete(first!)
      first!.go()
    }
    if (this.waiting === 0 || this.#goesOn || !this.#mayGo()) return
    this.#goesOn = true
    setImmediate(() => {
      this.#goesOn = false
      this.move()
    })
  }

  /** Nobody waits any more. */
  close(error: Error): void {
    for (const line of [this.#sentBefore, this.#others]) {
      for (const waiter of line) waiter.reject(error)
      line.clear()
    }
  }
}
