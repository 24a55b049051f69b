/** Callers that wait until a full queue has room. Being woken is a hint: another may take the place first. */
import { onAbort } from '../core/abort.ts'
import type { SluiceError } from '../core/errors.ts'

interface Waiter {
  readonly resolve: () => void
  readonly reject: (reason: unknown) => void
}

export class Room {
  readonly #waiters = new Set<Waiter>()
  readonly #places: () => number
  #asking = false

  /** `places` tells how many would be taken now. */
  constructor(places: () => number) {
    this.#places = places
  }

  get waiting(): number {
    return this.#waiters.size
  }

  wait(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const waiter: Waiter = {
        resolve: () => {
          release()
          resolve()
        },
        reject: (reason) => {
          release()
          reject(reason)
        },
      }
      let release = (): void => {}
      if (signal?.aborted) {
        reject(signal.reason)
        return
      }
      this.#waiters.add(waiter)
      release = onAbort(signal, (reason) => {
        this.#waiters.delete(waiter)
        reject(reason)
      })
    })
  }

  /**
   * Wakes as many as there are places, the first come first. Whoever is woken may have changed its mind, so what is left
   * of the places a turn of the event loop later goes to the next ones: nobody waits beside a free place.
   */
  wake(): void {
    let left = this.#places()
    if (left <= 0) return
    for (const waiter of this.#waiters) {
      if (left-- <= 0) break
      this.#waiters.delete(waiter)
      waiter.resolve()
    }
    if (this.#waiters.size === 0 || this.#asking) return
    this.#asking = true
    setImmediate(() => {
      this.#asking = false
      this.wake()
    })
  }

  close(error: SluiceError): void {
    for (const waiter of this.#waiters) waiter.reject(error)
    this.#waiters.clear()
  }
}
