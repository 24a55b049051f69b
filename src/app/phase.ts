/**
 * What a component is doing: one discriminated union, shown as it is by `/health`, `status()` and the dashboard.
 *
 *     disabled                                  turned off by configuration, for ever
 *     waiting ──▶ connecting ──▶ ready ◀──▶ degraded ◀──▶ failed
 *                     │   ▲                              ▲
 *                     ▼   └── endless, jittered ──┐      │ three failures in a row
 *                   failed ───────────────────────┘──────┘
 *     any ──▶ closing ──▶ closed
 *
 * `degraded`: it was ready and something is wrong now: checks fail, or the connection was lost a moment ago.
 * `failed`: there is no connection, and attempt after attempt fails. A failed component heals by itself.
 */
import type { ComponentState } from './component.ts'

export type Phase =
  | { readonly state: 'disabled'; readonly reason: string }
  | { readonly state: 'waiting'; readonly needs: readonly string[] }
  | { readonly state: 'connecting'; readonly attempt: number; readonly error?: Error }
  | { readonly state: 'ready' }
  | { readonly state: 'degraded'; readonly connected: boolean; readonly error: Error }
  | {
      readonly state: 'failed'
      readonly attempt: number
      readonly error: Error
      /** Milliseconds until the next attempt, as planned when this one failed. */
      readonly retryMs: number
    }
  | { readonly state: 'closing' }
  | { readonly state: 'closed' }

/** Compile-time proof that the union and the public list of states name the same things. */
export type PhaseState = Phase['state'] & ComponentState

/** The error that a phase carries, if any. */
export function phaseError(phase: Phase): Error | undefined {
  return 'error' in phase ? phase.error : undefined
}

/**
 * Up or down with memory: down after `downAfter` bad signs in a row, up after `upAfter` good ones. A dependency that
 * flaps every second so changes the verdict once, not every second.
 */
export class Hysteresis {
  readonly #downAfter: number
  readonly #upAfter: number
  #up = false
  #everUp = false
  #streak = 0

  constructor(downAfter: number, upAfter: number) {
    this.#downAfter = downAfter
    this.#upAfter = upAfter
  }

  get up(): boolean {
    return this.#up
  }

  /** Good signs in a row are positive, bad ones negative. */
  get streak(): number {
    return this.#streak
  }

  good(): void {
    this.#streak = Math.max(0, this.#streak) + 1
    // The first sign of life of all counts at once: nothing has flapped yet.
    if (!this.#everUp || this.#streak >= this.#upAfter) this.#up = this.#everUp = true
  }

  bad(): void {
    this.#streak = Math.min(0, this.#streak) - 1
    if (-this.#streak >= this.#downAfter) this.#up = false
  }
}
