/**
 * The databases of a component, by name. Those on the same servers share a client, and with it connections; a client is
 * made when it is first used, and closed when its last database is taken off.
 */
import { waitOrAbort } from '../../core/abort.ts'
import { isSluiceError, SluiceError } from '../../core/errors.ts'
import type { AddedDatabase, MongoDatabase } from './api.ts'
import { DATABASE_NAME, isDatabaseName, parseAddress } from './address.ts'
import type { Handle } from './client/handle.ts'
import { createDatabase } from './database.ts'
import type { DatabaseHost } from './host.ts'

/** More of them want a component more, or a field in the documents. */
const MAX_DATABASES = 10_000

/** Where a database is; without a URL on the servers of the component. */
interface Target {
  readonly url: string | undefined
  readonly database: string
}

interface Named extends Target {
  readonly api: MongoDatabase
}

/** A client that several databases share. */
interface Client {
  readonly handle: Handle
  isOpen: boolean
  opening: Promise<Handle>
}

export interface DatabasesOptions {
  readonly component: string
  /** What every database shares, besides where it is. */
  readonly host: Omit<DatabaseHost, 'database' | 'handle'>
  /** The client of the component itself, or a refusal (thrown). */
  readonly main: () => Handle
  /** Makes a client, not connected. */
  readonly connect: (url: string) => Handle
  /** Limit of connecting one, in milliseconds. */
  readonly connectMs: number
}

export class Databases {
  readonly #options: DatabasesOptions
  readonly #named = new Map<string, Named>()
  readonly #clients = new Map<string, Client>()

  constructor(options: DatabasesOptions) {
    this.#options = options
  }

  get names(): readonly string[] {
    return [...this.#named.keys()]
  }

  get connections(): number {
    return [...this.#clients.values()].reduce((sum, { handle }) => sum + handle.connections, 0)
  }

  find(name: string): MongoDatabase {
    const found = this.#named.get(name)
    if (found !== undefined) return found.api
    const known = this.names.slice(0, 20)
    const list = known.length === 0 ? 'there is none' : `known are ${known.join(', ')}`
    throw this.#wrong(`no database is called ${JSON.stringify(name)}; ${list}`)
  }

  add(name: string, { url, database }: AddedDatabase = {}): MongoDatabase {
    if (typeof name !== 'string' || name === '') throw this.#wrong('expected a name for the database')
    if (this.#named.has(name)) throw this.#wrong(`the database ${JSON.stringify(name)} is there already`)
    if (this.#named.size >= MAX_DATABASES) throw this.#wrong(`expected at most ${MAX_DATABASES} databases`)
    const address = url === undefined ? undefined : parseAddress(url)
    if (address !== undefined && 'expected' in address)
      throw this.#wrong(`the url of ${JSON.stringify(name)}: expected ${address.expected}`)
    const chosen = database ?? address?.database ?? name
    if (!isDatabaseName(chosen))
      throw this.#wrong(`the database of ${JSON.stringify(name)}: expected ${DATABASE_NAME}`)
    const target: Target = { url, database: chosen }
    const named: Named = {
      ...target,
      api: createDatabase({
        ...this.#options.host,
        database: chosen,
        handle: (signal) => this.#handleOf(name, named, signal),
      }),
    }
    this.#named.set(name, named)
    return named.api
  }

  async remove(name: string): Promise<void> {
    this.find(name)
    const { url } = this.#named.get(name)!
    this.#named.delete(name)
    const isShared = [...this.#named.values()].some((other) => other.url === url)
    if (url === undefined || isShared) return
    const client = this.#clients.get(url)
    this.#clients.delete(url)
    await client?.handle.close()
  }

  async close(): Promise<void> {
    const open = [...this.#clients.values()]
    this.#clients.clear()
    await Promise.all(open.map(({ handle }) => handle.close()))
  }

  #handleOf(name: string, named: Named, signal: AbortSignal): Handle | Promise<Handle> {
    const { main, component } = this.#options
    if (this.#named.get(name) !== named)
      throw new SluiceError(
        'SLUICE_CLOSED',
        `${component}: the database ${JSON.stringify(name)} was removed`,
        {
          component,
        },
      )
    if (named.url === undefined) return main()
    const client = this.#clients.get(named.url) ?? this.#open(named.url)
    return client.isOpen ? client.handle : waitOrAbort(client.opening, signal)
  }

  /** The driver's client is of no use after a connect that failed, so the next call makes another. */
  #open(url: string): Client {
    const handle = this.#options.connect(url)
    const client: Client = { handle, isOpen: false, opening: Promise.resolve(handle) }
    client.opening = handle.open(AbortSignal.timeout(this.#options.connectMs)).then(
      () => {
        client.isOpen = true
        return handle
      },
      async (error: unknown) => {
        if (this.#clients.get(url) === client) this.#clients.delete(url)
        await handle.close()
        throw this.#away(error)
      },
    )
    // Whoever waited may have gone.
    client.opening.catch(() => undefined)
    this.#clients.set(url, client)
    return client
  }

  #away(error: unknown): SluiceError {
    if (isSluiceError(error)) return error
    const { component } = this.#options
    return new SluiceError('SLUICE_UNAVAILABLE', `${component}: the servers did not answer`, {
      component,
      retryable: true,
      cause: error,
    })
  }

  #wrong(message: string): SluiceError {
    const { component } = this.#options
    return new SluiceError('SLUICE_INVALID_ARGUMENT', `${component}: ${message}`, { component })
  }
}
