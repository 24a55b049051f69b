/** Opens one connection and proves that it works; what fails on the way leaves nothing behind. */
import { onAbort } from '../../core/abort.ts'
import { Connection, type ConnectionOwner, type ConnectionSettings } from './connection.ts'
import type { DriverClient } from './driver.ts'
import { failureOf } from './failures.ts'
import { Reported } from './reported.ts'
import { Request } from './request.ts'
import { describe } from './statement.ts'

const KEEP_ALIVE_AFTER_MS = 10_000

export function openConnection(
  settings: ConnectionSettings,
  owner: ConnectionOwner,
  signal: AbortSignal | undefined,
): Promise<Connection> {
  const { driver, component, connectTimeoutMs } = settings
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted()
    const client = new driver.Client({
      ...settings.client,
      pipeline: true,
      keepAlive: true,
      keepAliveInitialDelayMillis: KEEP_ALIVE_AFTER_MS,
      connectionTimeoutMillis: connectTimeoutMs,
    })
    const reported = new Reported(client)
    // An `error` event that nobody hears ends the process, also long after the connection failed.
    client.on('error', () => {})
    let release = (): void => {}
    client.connect((error) => {
      if (error !== null && error !== undefined) {
        release()
        client.connection.stream.destroy()
        reject(
          signal?.aborted === true
            ? signal.reason
            : failureOf(error, { component, target: targetOf(client) }),
        )
        return
      }
      contain(client)
      reported.opened()
      proven(new Connection(settings, owner, client, reported), settings)
        .then(resolve, reject)
        .finally(release)
    })
    contain(client)
    client.connection.on('sslconnect', () => contain(client))
    release = onAbort(signal, (reason) => {
      client.connection.stream.destroy()
      reject(reason)
    })
  })
}

/** For hints: `db:5432, database "todo"`. */
function targetOf({ host, port, database }: DriverClient): string {
  const place = host.startsWith('/') ? host : `${host}:${port}`
  return typeof database === 'string' ? `${place}, database "${database}"` : place
}

/** Asks once: a pooler takes connections that it has no server for. The answer also tells how long the way is. */
async function proven(connection: Connection, settings: ConnectionSettings): Promise<Connection> {
  const request = new Request(describe('select 1'), undefined, { repeatable: true })
  // Nobody else's until it has answered, and nothing to be given back to the owner.
  connection.leased = true
  connection.send(request, settings.connectTimeoutMs, settings.clock.monotonic())
  try {
    await request.promise
    connection.leased = false
    return connection
  } catch (error) {
    connection.destroy(undefined)
    throw error
  }
}

/**
 * The parser of `pg` throws on what is not PostgreSQL's protocol, inside the socket's `data` event, which would end
 * the process. It ends the connection instead.
 */
function contain(client: DriverClient): void {
  const { stream } = client.connection
  if (Object.hasOwn(stream, 'emit')) return
  const emit = stream.emit.bind(stream) as (event: string, ...rest: unknown[]) => boolean
  const guarded = (event: string, ...rest: unknown[]): boolean => {
    if (event !== 'data') return emit(event, ...rest)
    try {
      return emit(event, ...rest)
    } catch (error) {
      stream.destroy(new Error('what the server sent is not its protocol', { cause: error }))
      return true
    }
  }
  Object.defineProperty(stream, 'emit', { value: guarded, configurable: true })
}
