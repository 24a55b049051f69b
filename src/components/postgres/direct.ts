/**
 * How a thread of this process reaches the same server: the facts of the connection, which can be cloned to it, and the
 * client that it makes of them, with the same TLS. For what must not depend on the event loop of the main thread; not
 * for users, so it stands under a symbol.
 */
import { SluiceError } from '../../core/errors.ts'
import type { Postgres } from './api.ts'
import { loadDriver, type DriverClient } from './driver.ts'
import { clientSettings, type Target } from './dsn.ts'

/** Holds the password: never logged. */
export interface DirectSettings {
  readonly component: string
  readonly target: Target
  readonly applicationName: string
  readonly connectTimeoutMs: number
  /** Of the pool of the main thread, at most. */
  readonly maxOpenConns: number
}

export const DIRECT = Symbol.for('sluice.postgres.direct')

export interface DirectHost {
  /** As it is now: an embedded server that was started again may have moved. Throws SLUICE_NOT_READY before `connect`. */
  [DIRECT](): DirectSettings
}

export function directSettings(db: Postgres): DirectSettings {
  const host = db as Postgres & Partial<DirectHost>
  const settings = host[DIRECT]?.()
  if (settings !== undefined) return settings
  throw new SluiceError('SLUICE_UNSUPPORTED', `${db.name}: not made by postgres()`, { component: db.name })
}

/** A client that is not connected yet, and swallows its errors: whoever waits for an answer gets them. */
export async function directClient(settings: DirectSettings): Promise<DriverClient> {
  const { Client } = await loadDriver(settings.component)
  const client = new Client({
    ...clientSettings(settings.target, settings.applicationName),
    keepAlive: true,
    connectionTimeoutMillis: settings.connectTimeoutMs,
  })
  // An `error` event that nobody hears would end the thread.
  client.on('error', () => {})
  return client
}
