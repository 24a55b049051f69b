/** Schedulers on one database, as so many processes. */
import { cron, type Cron, type CronOptions } from '../../src/cron/index.ts'
import { postgres, type Postgres } from '../../src/components/postgres/index.ts'
import { systemClock, type Clock } from '../../src/core/clock.ts'
import { connectComponent } from '../../src/testing/connect-component.ts'
import type { Logger } from '../../src/telemetry/log.ts'
import type { Metrics } from '../../src/telemetry/metric.ts'

export interface Node extends AsyncDisposable {
  readonly api: Cron
  readonly db: Postgres
  readonly metrics: Metrics
  check(): Promise<void>
  stopIntake(): Promise<void>
}

/** A scheduler with a database component, and therefore an engine, of its own. */
export async function openNode(
  dsn: string,
  register: (api: Cron) => void,
  options: CronOptions & { readonly log?: Logger; readonly clock?: Clock } = {},
): Promise<Node> {
  const { log, clock, ...cronOptions } = options
  const database = await connectComponent(postgres({ dsn }), { name: 'db' })
  const own = await connectComponent(cron({ pollInterval: '250ms', ...cronOptions }), {
    required: { postgres: database.api },
    ...(log === undefined ? {} : { log }),
    ...(clock === undefined ? {} : { clock }),
  })
  register(own.api)
  return {
    api: own.api,
    db: database.api,
    metrics: own.metrics,
    check: () => own.check(),
    stopIntake: async () => own.component.stopIntake?.(AbortSignal.timeout(10_000)),
    async [Symbol.asyncDispose]() {
      await own.close()
      await database.close()
    },
  }
}

/** Keeps what is said at one level, the object and the text of each line. */
export function listeningLogger(
  level: 'info' | 'warn' | 'error',
  said: (text: string, fields: object) => void,
): Logger {
  const log: Logger = { debug() {}, info() {}, warn() {}, error() {}, child: () => log }
  log[level] = (fields: unknown, text = '') => said(text, fields as object)
  return log
}

/** The system's clock, which tells of each timer; those that `set` answers false for never fire. */
export function watchedClock(set: (ms: number) => boolean): Clock {
  return {
    ...systemClock,
    setTimer: (fn, ms, options) => (set(ms) ? systemClock.setTimer(fn, ms, options) : { cancel() {} }),
  }
}

/** Waits until something that is recorded is so. Says so itself: nobody polls. */
export class Ledger {
  readonly lines: string[] = []
  readonly #waiting = new Set<() => void>()

  add(line: string): void {
    this.lines.push(line)
    for (const resolve of this.#waiting) resolve()
    this.#waiting.clear()
  }

  async until(isSo: (lines: readonly string[]) => boolean): Promise<void> {
    while (!isSo(this.lines)) await new Promise<void>((resolve) => this.#waiting.add(resolve))
  }
}
