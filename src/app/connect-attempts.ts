/** The attempts to connect one component, each under a deadline, and what the app shows of them. */
import { limitCall } from './call-limit.ts'
import type { Component, ComponentBase } from './component.ts'
import type { Clock } from '../core/clock.ts'

export interface ConnectAttemptsOptions {
  readonly name: string
  readonly component: Pick<Component<ComponentBase>, 'connect'>
  /** Deadline of one in milliseconds. */
  readonly timeoutMs: number
  readonly clock: Clock
}

/** What is shown of them. */
export interface ConnectFacts {
  readonly count: number
  /** 0 to 1, as the component says of the one under way; 1 once one has succeeded. */
  readonly progress: number
  /** What the component says that it does, during a connect. */
  readonly note: string | undefined
  /** Wall-clock time at which the first one began. */
  readonly startedAt: number | undefined
  /** Milliseconds that the last successful one took. */
  readonly connectMs: number | undefined
  /** Milliseconds until the next one begins; 0 when one is under way or none is needed. */
  readonly retryInMs: number
}

export class ConnectAttempts implements ConnectFacts {
  readonly #options: ConnectAttemptsOptions
  #count = 0
  #progress = 0
  #note: string | undefined
  #startedAt: number | undefined
  #connectMs: number | undefined
  /** Monotonic time of the next one, during the back-off between two. */
  #nextAt: number | undefined

  constructor(options: ConnectAttemptsOptions) {
    this.#options = options
  }

  get count(): number {
    return this.#count
  }
  get progress(): number {
    return this.#connectMs === undefined ? this.#progress : 1
  }
  get note(): string | undefined {
    return this.#note
  }
  get startedAt(): number | undefined {
    return this.#startedAt
  }
  get connectMs(): number | undefined {
    return this.#connectMs
  }
  get retryInMs(): number {
    if (this.#nextAt === undefined) return 0
    return Math.max(0, this.#nextAt - this.#options.clock.monotonic())
  }

  /** Counts an attempt that is about to be made. */
  begin(): void {
    const { clock } = this.#options
    this.#startedAt ??= clock.now()
    this.#count++
  }

  /**
   * Makes it; resolves with the milliseconds that it took. Waits for the component to settle, for connect must never run
   * twice at once; `onLate` is told at the deadline.
   */
  async make(outer: AbortSignal, onLate: (error: Error) => void): Promise<number> {
    const { clock, timeoutMs: ms, name, component } = this.#options
    const began = clock.monotonic()
    const { signal, release } = limitCall(outer, { component: name, call: 'connect', ms, clock, onLate })
    this.#progress = 0
    try {
      await component.connect(signal, (fraction, note) => {
        this.#progress = Math.min(1, Math.max(0, fraction))
        this.#note = note
      })
    } finally {
      release()
    }
    return clock.monotonic() - began
  }

  /** The last one is in force. */
  succeeded(ms: number): void {
    this.#connectMs = ms
    this.#note = undefined
  }

  /** Waits before the next one. */
  async pause(ms: number, signal: AbortSignal): Promise<void> {
    const { clock } = this.#options
    this.#nextAt = clock.monotonic() + ms
    await clock.sleep(ms, { signal, keepAlive: false })
    this.#nextAt = undefined
  }
}
