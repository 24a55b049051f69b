/**
 * The places in threads: as many tasks as there are of them are with piscina, and the next one waits here.
 *
 * Operations have as many slots, but a slot is given back some seconds after its call was cancelled, and the task may
 * run on. Without this, the tasks of later callers would pile up in piscina's queue behind those that nobody waits for.
 */
import { onAbort } from '../../core/abort.ts'
import { NOT_QUEUED, Slots, type SlotWaiter } from '../../pool/slots.ts'

/** They come in the order of their slots, which have priorities already. */
const PRIORITY = 5

export class Places {
  readonly #slots: Slots

  constructor(count: number) {
    // Whoever waits here holds a slot of the operations, which are bounded.
    this.#slots = new Slots(count, Infinity)
  }

  /** Undefined when a place is free, which is then taken; else resolves with one, or rejects with the signal's reason. */
  take(signal: AbortSignal): Promise<void> | undefined {
    if (this.#slots.tryAcquire()) return undefined
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    let release = (): void => {}
    const waiter: SlotWaiter = {
      priority: PRIORITY,
      arrival: NOT_QUEUED,
      slotGranted() {
        release()
        resolve()
      },
    }
    this.#slots.wait(waiter)
    release = onAbort(signal, (reason) => {
      this.#slots.leave(waiter)
      reject(reason)
    })
    return promise
  }

  giveBack(): void {
    this.#slots.release()
  }
}
