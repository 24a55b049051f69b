/** Saves the place of a change stream, at most so often, the latest one last. One save is under way at a time. */
import type { ResumeToken } from 'mongodb'
import type { Timer } from '../../core/clock.ts'
import { toError } from '../../core/errors.ts'
import type { ResumeStore } from './api.ts'
import type { DatabaseHost } from './host.ts'

export interface TokenSaverOptions {
  readonly host: Pick<DatabaseHost, 'clock' | 'component' | 'log'>
  /** What is watched, for the log. */
  readonly name: string
  readonly store: ResumeStore | undefined
  readonly intervalMs: number
}

export class TokenSaver {
  readonly #options: TokenSaverOptions
  #reached: ResumeToken = undefined
  #saved: ResumeToken = undefined
  #timer: Timer | undefined
  #saving: Promise<void> | undefined

  constructor(options: TokenSaverOptions) {
    this.#options = options
  }

  /** The token of the time before; undefined where there is none. */
  async load(): Promise<ResumeToken> {
    const token: ResumeToken = await this.#options.store?.load()
    this.#saved = token
    return token
  }

  /** Everything up to this token was worked through. */
  reached(token: ResumeToken): void {
    const { store, host, intervalMs } = this.#options
    this.#reached = token
    if (store === undefined || this.#timer !== undefined || this.#isSaved()) return
    this.#timer = host.clock.setTimer(
      () => {
        this.#timer = undefined
        // The next interval brings a token that could not be saved.
        this.flush().catch((error: unknown) =>
          host.log.warn(
            { err: toError(error) },
            `${host.component}: the place of the change stream of ${this.#options.name} was not saved`,
          ),
        )
      },
      intervalMs,
      { keepAlive: false },
    )
  }

  /** Saves at once what is not saved. */
  async flush(): Promise<void> {
    this.#timer?.cancel()
    this.#timer = undefined
    await this.#saving?.catch(() => undefined)
    if (this.#isSaved()) return
    const token = this.#reached
    this.#saving = Promise.resolve(this.#options.store?.save(token)).then(() => void (this.#saved = token))
    await this.#saving
  }

  #isSaved(): boolean {
    return this.#reached === undefined || this.#reached === null || this.#reached === this.#saved
  }
}
