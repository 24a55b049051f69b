/** Whoever wants to know what happens in the lanes. */
import type { DeadLetter } from '../contract.ts'
import type { StreamId } from '../stream-id.ts'
import type { Slot } from './slot.ts'

/** Told of what happens; must not throw. */
export interface LanesObserver {
  /** A lane is at its bound. */
  full(lane: string): void
  /** Every lane has room again. */
  room(): void
  /** The lease is lost: nothing is sent any more until `reset`. */
  lost(error: Error): void
  failed(lane: string, error: Error): void
  /** A batch is stored. `receivedMs` of each change is still there to be read. */
  stored(lane: string, slots: readonly Slot[], durationMs: number, now: number): void
  dead(lane: string, letter: DeadLetter): void
  /** A message came that was not delivered before, with an id below that of another lane. Called before it is taken. */
  disorder(lane: string, at: StreamId): void
}
