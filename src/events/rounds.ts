/** Something that is done again and again: at intervals, earlier where it asks for that or a hint comes. */
import { onAbort } from '../core/abort.ts'
import { toError } from '../core/errors.ts'
import type { Engine } from '../engine/engine.ts'
import type { Logger } from '../telemetry/log.ts'

export class Rounds {
  readonly #engine: Engine
  readonly #log: Logger
  readonly #what: string
  readonly #everyMs: number
  readonly #round: (signal: AbortSignal) => Promise<number | undefined>
  readonly #stopping = new AbortController()
  #loop: Promise<void> | undefined
  #offHint: (() => void) | undefined
  #nudge: (() => void) | undefined
  #nudged = false

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
    this.#nudged = true
    this.#nudge?.()
  }

  async stop(): Promise<void> {
    this.#offHint?.()
    this.#stopping.abort()
    await this.#loop
  }

  async #run(delayMs: number): Promise<void> {
    const { signal } = this.#stopping
    const { random } = this.#engine
    if (delayMs > 0) await this.#pause(delayMs)
    while (!signal.aborted) {
      this.#nudged = false
      let next: number | undefined
      try {
        next = await this.#round(signal)
      } catch (error) {
        if (!signal.aborted)
          this.#log.debug({ err: toError(error) }, `${this.#what} failed, and is tried again`)
      }
      await this.#pause(Math.min(next ?? Infinity, this.#everyMs * (0.8 + 0.4 * random())) + 1)
    }
  }

  async #pause(ms: number): Promise<void> {
    const { signal } = this.#stopping
    if (this.#nudged || signal.aborted) return
    await new Promise<void>((resolve) => {
      const done = (): void => {
        timer.cancel()
        release()
        this.#nudge = undefined
        resolve()
      }
      const timer = this.#engine.clock.setTimer(done, ms)
      const release = onAbort(signal, done)
      this.#nudge = done
    })
  }
}
