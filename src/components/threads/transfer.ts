/** Results that are moved to the other thread instead of copied. */
import type { Transferable } from 'node:worker_threads'

/** What may be moved: an ArrayBuffer, a MessagePort and whatever else Node.js can transfer. */
export type TransferList = readonly Transferable[]

/** A task's result with what of it is to be moved. */
export class Transferred {
  readonly value: unknown
  readonly list: TransferList

  constructor(value: unknown, list: TransferList) {
    this.value = value
    this.list = list
  }
}

/**
 * What a task returns to move parts of its result instead of copying them: `return withTransfer(bytes, [bytes.buffer])`.
 * The caller gets `value`; the thread cannot use what was moved any more.
 */
export function withTransfer<T>(value: T, list: TransferList): T {
  // The wrapper never reaches the caller: the thread's runner takes it off, so the promise in the type is kept.
  return new Transferred(value, list) as unknown as T
}
