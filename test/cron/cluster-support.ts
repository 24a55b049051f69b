/** Schedulers on one database, as so many processes. */
import { cron, type Cron, type CronOptions } from '../../src/cron/index.ts'
import { postgres, type Postgres } from '../../src/components/postgres/index.ts'
import { connectComponent } from '../../src/testing/connect-component.ts'
import type { Logger } from '../../src/telemetry/log.ts'

export interface Node extends AsyncDisposable {
  readonly api: Cron
  readonly db: Postgres
  stopIntake(): Promise<void>
}

/** A scheduler with a database component, and therefore an engine, of its own. */
export async function openNode(
  dsn: string,
  register: (api: Cron) => void,
  options: CronOptions & { readonly log?: Logger } = {},
): Promise<Node> {
  const { log, ...cronOptions } = options
  const database = await connectComponent(postgres({ dsn }), { name: 'db' })
  const own = await connectComponent(cron({ pollInterval: '250ms', ...cronOptions }), {
    required: { postgres: database.api },
    ...(log === undefined ? {} : { log }),
  })
  register(own.api)
  return {
    api: own.api,
    db: database.api,
    stopIntake: async () => own.component.stopIntake?.(AbortSignal.timeout(10_000)),
    async [Symbol.asyncDispose]() {
      await own.close()
      await database.close()
    },
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
