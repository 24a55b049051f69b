/**
 * A sign of life of what lives in a database: its tables are there and of this version. It is not connected as the app
 * would: that registers a worker.
 */
import type { ComponentBase, ComponentDefinition } from '../../app/component.ts'
import type { ComponentConfig } from '../../config/load.ts'
import { systemClock } from '../../core/clock.ts'
import type { Probe } from '../probe.ts'
import { checkVersion, connectDatabase } from './open.ts'

/** @param database the name, definition and configuration of the postgres component */
export async function probeTables(
  database: readonly [string, ComponentDefinition<ComponentBase>, ComponentConfig],
  app: string,
): Promise<Probe> {
  const [{ readVersion }, { SCHEMA_VERSION }] = await Promise.all([
    import('../../engine/migrate.ts'),
    import('../../engine/schema.ts'),
  ])
  const start = systemClock.monotonic()
  const { db, close } = await connectDatabase(...database, app)
  try {
    const connected = systemClock.monotonic()
    const found = await readVersion(db)
    const answered = systemClock.monotonic()
    // The app makes them at its start, and brings older ones up to date.
    if (found > SCHEMA_VERSION) checkVersion(db.name, found, SCHEMA_VERSION)
    const version = found === 0 ? 'no tables yet' : `tables of version ${found}`
    return { connectMs: rounded(connected - start), latencyMs: rounded(answered - connected), version }
  } finally {
    await close()
  }
}

function rounded(ms: number): number {
  return Math.round(ms * 100) / 100
}
