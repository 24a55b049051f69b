/** Runs a component's own migrations while it connects: whoever finds it ready finds the schema in place. */
import type { ComponentContext } from '../../app/component.ts'
import type { Clock } from '../../core/clock.ts'
import { hasCode, SluiceError } from '../../core/errors.ts'
import { createOperations } from '../../telemetry/operations.ts'
import type { OperationLimits, OperationSpec } from '../../telemetry/operate.ts'
import type { Migration } from './api.ts'
import { DatabaseEntry, type Reach } from './entry.ts'
import { migrate, type MigrateHost } from './migrate.ts'

const MIGRATE: OperationSpec = Object.freeze({ name: 'migrate', idempotent: false })

/** The limit that counts is the connect's own, in the signal (`infrastructure.timeouts.<name>`). */
const LIMITS: OperationLimits = {
  timeoutMs: 24 * 3_600_000,
  maxConcurrent: 4,
  maxWaiting: 4,
  breakerThreshold: 0,
  breakerResetMs: 0,
  retries: 0,
}

/**
 * Uses a connection of its own and operations that are not refused before the component is ready; nothing else may.
 * Rejects with what `migrate` rejects with: the app then retries the connect, as for a server that is away. At the
 * connect's limit with SLUICE_TIMEOUT that names the migration: one that takes longer never comes to its end this way.
 */
export async function migrateOnConnect(
  context: ComponentContext<unknown>,
  reach: () => Reach,
  migrations: readonly Migration[],
  signal: AbortSignal,
): Promise<void> {
  const { name: component, kind, clock, random, log } = context
  const operations = createOperations({
    component,
    kind,
    clock,
    random,
    log,
    limits: LIMITS,
    notReady: () => undefined,
  })
  const host = {
    component,
    log,
    clock,
    random,
    single: operations,
    transactions: operations,
    inside: operations,
  }
  const entry = new DatabaseEntry({ ...host, controlMs: LIMITS.timeoutMs }, () => {
    const { connection, pool } = reach()
    return { connection, pool: { ...pool, maxOpen: 1, minIdle: 0, onDown: undefined } }
  })
  const progress = new Progress(component, clock)
  const migrateHost: MigrateHost = {
    component,
    transaction: (fn) => entry.api.transaction(fn, { signal }),
    onRun: (name) => progress.enter(name),
  }
  try {
    await entry.open(signal)
    const ran = await operations.run(MIGRATE, () => migrate(migrateHost, migrations), { signal })
    if (ran.length > 0) log.info({ migrations: ran }, `${component}: ran ${ran.length} migrations`)
  } catch (error) {
    throw signal.aborted && isTimeout(signal.reason) ? progress.timedOut(signal.reason) : error
  } finally {
    await entry.close(signal)
  }
}

/** How far the migrations are, for the error of a connect whose time is up. */
class Progress {
  readonly #component: string
  readonly #clock: Clock
  /** Undefined until there is a connection. */
  #at: { readonly migration: string | undefined; readonly since: number } | undefined

  constructor(component: string, clock: Clock) {
    this.#component = component
    this.#clock = clock
  }

  enter(migration: string | undefined): void {
    this.#at = { migration, since: this.#clock.monotonic() }
  }

  timedOut(reason: unknown): unknown {
    if (this.#at === undefined) return reason
    const component = this.#component
    const { migration, since } = this.#at
    const ms = Math.round(this.#clock.monotonic() - since)
    const text =
      migration === undefined
        ? `no turn to migrate within ${ms} ms: another process migrates, or the server does not answer`
        : `the migration ${JSON.stringify(migration)} was rolled back: it was not done after ${ms} ms, when the time of the connect was up`
    return new SluiceError('SLUICE_TIMEOUT', `${component}: ${text}`, {
      cause: reason,
      component,
      operation: MIGRATE.name,
      retryable: true,
      hint: `Run "sluice migrate" before the start, or raise infrastructure.timeouts.${component} (one hour at most).`,
    })
  }
}

function isTimeout(reason: unknown): boolean {
  return hasCode(reason, 'SLUICE_TIMEOUT') || (reason instanceof Error && reason.name === 'TimeoutError')
}
