/** Whether a subscription is paused. Those who deliver wait at it. */
import { waitOrAbort } from '../core/abort.ts'

export class Gate {
  #opened: PromiseWithResolvers<void> | undefined

  get isClosed(): boolean {
    return this.#opened !== undefined
  }

  /** True where that changes anything. */
  set(closed: boolean): boolean {
    if (closed === this.isClosed) return false
    if (closed) this.#opened = Promise.withResolvers<void>()
    else {
      this.#opened?.resolve()
      this.#opened = undefined
    }
    return true
  }

  /** Resolves when it is open. */
  async wait(signal: AbortSignal): Promise<void> {
    while (this.#opened !== undefined) await waitOrAbort(this.#opened.promise, signal)
  }
}
