/**
 * The log of an app: the user's own, or one that keeps its lines until the configuration has said how they are to be
 * written, and writes with pino from then on.
 */
import { deferredLogger } from './deferred-logger.ts'
import type { Settings } from './settings.ts'
import type { Clock } from '../core/clock.ts'
import type { Logger } from '../telemetry/log.ts'
import { createLogger, type LoggerOptions, type ProcessLogger } from '../telemetry/pino.ts'
import { createRedactor } from '../telemetry/redact.ts'

export interface AppLogOptions {
  /** Name of the app, where the configuration names no other. */
  readonly name: string
  readonly clock: Clock
  /** The user's own logger, which is used as it is. */
  readonly own: Logger | undefined
}

export class AppLog {
  readonly log: Logger
  readonly #options: AppLogOptions
  readonly #deferred = deferredLogger()
  #process: ProcessLogger | undefined

  constructor(options: AppLogOptions) {
    this.#options = options
    this.log = options.own ?? this.#deferred
  }

  /** Writes what was kept and all that follows. Without settings: the app never got so far as to know how. Idempotent. */
  open(settings?: Settings): void {
    if (this.#options.own !== undefined || this.#process !== undefined) return
    this.#process = createLogger(settings === undefined ? {} : this.#processOptions(settings))
    this.#deferred.attach(this.#process)
  }

  /** Hands the last lines to the system. */
  async flush(): Promise<void> {
    await this.#process?.flush()
  }

  #processOptions({ app, config }: Settings): LoggerOptions {
    const name = app.name ?? this.#options.name
    return {
      level: app.logLevel,
      base: { app: name, pid: process.pid, ...(app.version !== undefined && { version: app.version }) },
      redact: createRedactor(config.secrets).text,
      clock: this.#options.clock,
    }
  }
}
