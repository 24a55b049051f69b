/** One database of the component: how to reach it, its connections once they are needed, its calls. */
import type { Inspection } from '../../app/component.ts'
import { SluiceError } from '../../core/errors.ts'
import type { Database } from './api.ts'
import type { ConnectionSettings } from './connection.ts'
import { createDatabase } from './database.ts'
import type { DatabaseHost } from './database-host.ts'
import { Listener } from './listener.ts'
import type { PoolSettings } from './keeper.ts'
import type { PoolStats } from './pool-stats.ts'
import { ConnectionPool } from './pool.ts'
import { Statements } from './statement.ts'
import type { TypedHost } from './typed.ts'

/** What all databases of a component share. */
export type EntryHost = Omit<DatabaseHost, 'pool' | 'listener' | 'statements'>

/** Known once the component has connected; throws before. */
export interface Reach {
  readonly connection: ConnectionSettings
  readonly pool: PoolSettings
}

export class DatabaseEntry {
  readonly #host: EntryHost
  readonly #reach: () => Reach
  readonly api: Database
  readonly typed: TypedHost
  #pool: ConnectionPool | undefined
  #listener: Listener | undefined
  #isClosed = false

  constructor(host: EntryHost, reach: () => Reach) {
    this.#host = host
    this.#reach = reach
    const { api, typed } = createDatabase({
      ...host,
      statements: new Statements(),
      pool: () => this.#lazyPool(),
      listener: () => this.#lazyListener(),
    })
    this.api = api
    this.typed = typed
  }

  /** Opens the first connection now, so that what is wrong is told now. */
  async open(signal: AbortSignal): Promise<void> {
    const { pool, connection } = this.#reach()
    this.#pool ??= new ConnectionPool(pool, connection)
    await this.#pool.open(signal)
  }

  /** The same, for one that is not waited for: who calls meanwhile waits, and after a failure tries again. */
  async openBehind(signal: AbortSignal): Promise<void> {
    await this.#lazyPool().open(signal)
  }

  async check(signal: AbortSignal): Promise<void> {
    await this.#lazyPool().check(signal)
  }

  async close(signal: AbortSignal): Promise<void> {
    this.#isClosed = true
    await Promise.all([this.#listener?.stop(), this.#pool?.close(signal)])
  }

  /** Undefined before the first use. */
  stats(): PoolStats | undefined {
    return this.#pool?.stats()
  }

  inspect(): Inspection {
    return {
      ...(this.#pool === undefined ? {} : { connections: this.#pool.stats() }),
      ...(this.#listener === undefined
        ? {}
        : { listening: this.#listener.channels, listenerReconnects: this.#listener.reconnects }),
    }
  }

  #lazyPool(): ConnectionPool {
    if (this.#pool !== undefined) return this.#pool
    this.#refuseClosed()
    const { pool, connection } = this.#reach()
    this.#pool = new ConnectionPool(pool, connection)
    this.#pool.openLazily()
    return this.#pool
  }

  #lazyListener(): Listener {
    this.#refuseClosed()
    this.#listener ??= new Listener(this.#host, this.#reach().connection)
    return this.#listener
  }

  #refuseClosed(): void {
    if (!this.#isClosed) return
    const { component } = this.#host
    throw new SluiceError('SLUICE_CLOSED', `${component}: the database was removed or the component closed`, {
      component,
    })
  }
}
