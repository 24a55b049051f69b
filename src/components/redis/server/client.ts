/** The driver's client of one connection, with everything off that is done above it. */
import type * as Redis from 'redis'
import type { Clock } from '../../../core/clock.ts'
import type { Address } from '../address.ts'
import type { RedisModule } from './peer.ts'
import { readTlsFiles, type TlsFiles } from '../../../config/tls-files.ts'

export interface ConnectionSettings {
  /** Name of the component, for errors. */
  readonly component: string
  readonly address: Address
  readonly username: string | undefined
  readonly password: string | undefined
  readonly db: number
  /** Shown by CLIENT LIST. */
  readonly clientName: string
  readonly dialTimeoutMs: number
  readonly replyTimeoutMs: number
  readonly pingIntervalMs: number
  readonly maxQueued: number
  readonly rejectUnauthorized: boolean
  readonly tlsFiles: TlsFiles
  readonly clock: Clock
}

const PROTOCOL = Object.freeze({ RESP: 2 } as const)

type None = Record<never, never>
// Said in full: the declaration of an inferred one would name the driver's inner packages by where they are installed.
export type Client = ReturnType<ReturnType<typeof Redis.RedisClient.factory<None, None, None, 2>>>

export function makeClient(peer: RedisModule, settings: ConnectionSettings): Client {
  const { address } = settings
  // Version 2 of the protocol gives the same replies on every server. A client's class is made for its whole set of
  // options, which takes 25 ms, unless it is made for those of the protocol alone, as here.
  const createClient = peer.RedisClient.factory(PROTOCOL)
  return createClient({
    // Read from here too, which the type of the factory does not know.
    ...(PROTOCOL as object),
    ...(settings.username === undefined ? {} : { username: settings.username }),
    ...(settings.password === undefined ? {} : { password: settings.password }),
    database: settings.db,
    name: settings.clientName,
    disableOfflineQueue: true,
    disableClientInfo: true,
    maintNotifications: 'disabled',
    commandsQueueMaxLength: settings.maxQueued,
    // The deadline of an operation is kept above; the driver's own costs an AbortSignal and a timer for each command.
    commandOptions: { timeout: 0 },
    socket: {
      ...(address.path === undefined ? { host: address.host, port: address.port } : { path: address.path }),
      // The name to verify is the host, as tls.connect takes it.
      ...(address.tls
        ? {
            tls: true,
            rejectUnauthorized: settings.rejectUnauthorized,
            ...readTlsFiles(settings.component, settings.tlsFiles),
          }
        : {}),
      connectTimeout: settings.dialTimeoutMs,
      reconnectStrategy: false,
    } as never,
  })
}
