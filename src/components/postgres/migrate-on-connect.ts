/** Runs a component's own migrations while it connects: whoever finds it ready finds the schema in place. */
import type { ComponentContext } from '../../app/component.ts'
import { createOperations } from '../../telemetry/operations.ts'
import type { OperationLimits } from '../../telemetry/operate.ts'
import type { Migration } from './api.ts'
import { DatabaseEntry, type Reach } from './entry.ts'

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
 * Rejects with what `migrate` rejects with: the app then retries the connect, as for a server that is away.
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
  try {
    await entry.open(signal)
    const ran = await entry.api.migrate(migrations, { signal, timeout: LIMITS.timeoutMs })
    if (ran.length > 0) log.info({ migrations: ran }, `${component}: ran ${ran.length} migrations`)
  } finally {
    await entry.close(signal)
  }
}
