/** Something that is done again and again: at intervals, earlier where it asks for that or a hint comes. */
import { Alarm } from '../core/alarm.ts'
import { toError } from '../core/errors.ts'
import type { Engine } from '../engine/engine.ts'
import { levelOf } from '../engine/repeated.ts'
import type { Logger } from '../telemetry/log.ts'

export class Rounds {
  readonly #engine: Engine
  readonly #log: Logger
  readonly #what: string
  readonly #everyMs: number
  readonly #round: (signal: AbortSignal) => Promise<number | undefined>
  readonly #stopping = new AbortController()
  readonly #alarm: Alarm
  #loop: Promise<void> | undefined
  #offHint: (() => void) | undefined

  /** `round` answers in how many milliseconds it wants to be called at the latest. */
  constructor(
    engine: Engine,
    log: Logger,
    what: string,
    everyMs: number,
    round: (signal: AbortSignal) => Promise<number | undefined>,
  ) {
    this.#engine = engine
    this.#log = log
    this.#alarm = new Alarm(engine.clock)
    this.#what = what
    this.#everyMs = everyMs
    this.#round = round
  }

  /** The first round begins after `delayMs`. */
  start({ hint, delayMs = 0 }: { readonly hint?: string; readonly delayMs?: number } = {}): void {
    if (hint !== undefined) this.#offHint = this.#engine.wake.on(hint, () => this.look())
    this.#loop ??= this.#run(delayMs)
  }

  look(): void {
    this.#alarm.ring()
  }

  async stop(): Promise<void> {
    this.#offHint?.()
    this.#stopping.abort()
    await this.#loop
  }

  async #run(delayMs: number): Promise<void> {
    const { signal } = this.#stopping
    const { random } = this.#engine
    if (delayMs > 0) await this.#alarm.wait(delayMs, signal)
    let failures = 0
    while (!signal.aborted) {
      let next: number | undefined
      try {
        next = await this.#round(signal)
        failures = 0
      } catch (error) {
        if (!signal.aborted) {
          const facts = { err: toError(error), failures: ++failures }
          this.#log[levelOf(failures)](facts, `${this.#what} failed, and is tried again`)
        }
      }
      await this.#alarm.wait(Math.min(next ?? Infinity, this.#everyMs * (0.8 + 0.4 * random())) + 1, signal)
    }
  }
}
