/** How many bodies of downloads are open at once: each holds a socket, or a file, until it was read or destroyed. */
import { onAbort } from '../../core/abort.ts'
import { NOT_QUEUED, Slots, type SlotWaiter } from '../../pool/slots.ts'

export class OpenBodies {
  readonly #slots: Slots
  readonly #destroy = new Set<(reason: Error) => void>()

  constructor(capacity: number) {
    // Those who wait hold a slot of the operations, of which there are as many.
    this.#slots = new Slots(capacity, capacity)
  }

  get size(): number {
    return this.#slots.taken
  }

  /** Resolves with what gives the place back, which may be called again. */
  async acquire(signal: AbortSignal): Promise<() => void> {
    signal.throwIfAborted()
    if (!this.#slots.tryAcquire()) await this.#wait(signal)
    let held = true
    return () => {
      if (held) this.#slots.release()
      held = false
    }
  }

  /** Known for `destroyAll` until the returned function is called. */
  add(destroy: (reason: Error) => void): () => void {
    this.#destroy.add(destroy)
    return () => this.#destroy.delete(destroy)
  }

  destroyAll(reason: Error): void {
    for (const destroy of this.#destroy) destroy(reason)
  }

  #wait(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const waiter: SlotWaiter = {
        priority: 5,
        arrival: NOT_QUEUED,
        slotGranted: () => {
          release()
          resolve()
        },
      }
      const release = onAbort(signal, (reason) => {
        this.#slots.leave(waiter)
        reject(reason as Error)
      })
      if (!this.#slots.wait(waiter)) reject(new RangeError('more wait for a body than there are operations'))
    })
  }
}
