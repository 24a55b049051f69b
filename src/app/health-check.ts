/** Asks a component whether it works: under a deadline, and one question at a time. */
import { limitCall } from './call-limit.ts'
import type { Component, ComponentBase } from './component.ts'
import { waitOrAbort } from '../core/abort.ts'
import type { Clock } from '../core/clock.ts'
import { toError } from '../core/errors.ts'

export interface HealthCheckOptions {
  readonly name: string
  readonly component: Pick<Component<ComponentBase>, 'check'>
  /** Deadline in milliseconds. */
  readonly timeoutMs: number
  readonly clock: Clock
}

export class HealthCheck {
  readonly #options: HealthCheckOptions
  #pending: Promise<void> | undefined

  constructor(options: HealthCheckOptions) {
    this.#options = options
  }

  /** What is wrong; undefined when nothing is. While an earlier check has not settled, that alone is a failure. */
  async run(outer: AbortSignal): Promise<Error | undefined> {
    const { name, component, timeoutMs, clock } = this.#options
    const { signal, release } = limitCall(outer, { component: name, call: 'check', ms: timeoutMs, clock })
    try {
      this.#pending ??= Promise.try(() => component.check(signal)).finally(() => {
        this.#pending = undefined
      })
      this.#pending.catch(() => {})
      await waitOrAbort(this.#pending, signal)
      return undefined
    } catch (error) {
      return toError(error)
    } finally {
      release()
    }
  }
}
