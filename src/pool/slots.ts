/**
 * Slots: a counting limiter with a bounded queue, for callers that bring their own state.
 *
 * `WorkerPool` runs functions and hands out an AsyncResult for each. An operation has an AsyncResult already, and
 * waits, runs, backs off and waits again under one deadline, so it needs only the counting: a waiter is an object of
 * the caller's in the same queue that the pool uses, and is told when the slot is its own. No promise, no closure.
 */
import { NOT_QUEUED, TaskQueue, type QueueEntry } from './task-queue.ts'

/** What waits. One that left the queue must not wait again. */
export interface SlotWaiter extends QueueEntry {
  /** The slot is the waiter's now; it must call `release` exactly once. Must not throw. */
  slotGranted(): void
}

export { NOT_QUEUED }

export class Slots {
  readonly #capacity: number
  readonly #maxWaiting: number
  readonly #queue = new TaskQueue<SlotWaiter>()
  #taken = 0
  #granting = false

  constructor(capacity: number, maxWaiting: number) {
    this.#capacity = capacity
    this.#maxWaiting = maxWaiting
  }

  get taken(): number {
    return this.#taken
  }
  get waiting(): number {
    return this.#queue.length
  }
  get capacity(): number {
    return this.#capacity
  }

  /** Takes a slot if one is free and nobody waits for it. */
  tryAcquire(): boolean {
    if (this.#taken >= this.#capacity || this.#queue.length > 0) return false
    this.#taken += 1
    return true
  }

  /** Queues the waiter by its priority, or returns false when the queue is full. */
  wait(waiter: SlotWaiter): boolean {
    if (this.#queue.length >= this.#maxWaiting) return false
    this.#queue.push(waiter)
    return true
  }

  /** Takes a waiter out of the queue; does nothing when it does not wait. */
  leave(waiter: SlotWaiter): void {
    this.#queue.remove(waiter)
  }

  /**
   * Gives a slot back: to the first that waits, or to the free ones.
   *
   * A waiter that is done at once gives its slot back from inside `slotGranted`. The outermost release hands on what
   * came back in a loop, so that ten thousand such waiters do not become ten thousand stack frames.
   */
  release(): void {
    this.#taken -= 1
    if (this.#granting || this.#queue.length === 0) return
    this.#granting = true
    try {
      while (this.#taken < this.#capacity) {
        const next = this.#queue.shift()
        if (next === undefined) break
        this.#taken += 1
        next.slotGranted()
      }
    } finally {
      // One waiter that throws must not stop all later grants.
      this.#granting = false
    }
  }
}
