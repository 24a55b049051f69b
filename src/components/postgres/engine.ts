/** What the component loads when it connects: the driver, and the databases with their connections. */
import type { ComponentContext, Inspection } from '../../app/component.ts'
import { Deadlines } from '../../core/deadlines.ts'
import { toError, type SluiceError } from '../../core/errors.ts'
import type { Migration } from './api.ts'
import { loadDriver, type Driver } from './driver.ts'
import { clientSettings, sslModeOf, withDatabase, type Target } from './dsn.ts'
import { DatabaseEntry, type EntryHost, type Reach } from './entry.ts'
import { sqlState } from './failures.ts'
import { quoteName } from './identifier.ts'
import type { NamedHosts } from './hosts.ts'
import type { LoadedDatabase } from './late.ts'
import { migrateOnConnect } from './migrate-on-connect.ts'
import type { PoolStats } from './pool-stats.ts'
import { RoundTrip } from './round-trip.ts'
import type { PostgresConfig } from './section.ts'

export interface EngineHost {
  readonly context: ComponentContext<PostgresConfig>
  readonly main: EntryHost
  readonly named: NamedHosts
  /** Where each named database is. */
  readonly targets: ReadonlyMap<string, () => Target>
  readonly migrations: readonly Migration[]
  mainTarget(): Target
}

/** Taken for the network's share until it is measured. */
const FIRST_ROUND_TRIP_MS = 100
/** `create database` copies files: it has longer than a statement, at most this. */
const CREATE_LIMIT = '60s'

export async function createEngine(host: EngineHost): Promise<Engine> {
  return new Engine(host, await loadDriver(host.context.name))
}

export class Engine {
  readonly #host: EngineHost
  readonly #driver: Driver
  readonly #deadlines: Deadlines
  readonly #named = new Map<string, { readonly entry: DatabaseEntry; readonly host: EntryHost }>()
  readonly #unverified = new Set<string>()
  readonly main: DatabaseEntry

  constructor(host: EngineHost, driver: Driver) {
    this.#host = host
    this.#driver = driver
    this.#deadlines = new Deadlines(host.context.clock)
    this.main = new DatabaseEntry(host.main, () => this.#reach(host.mainTarget(), 'main'))
  }

  async open(signal: AbortSignal, progress: (fraction: number, note?: string) => void): Promise<void> {
    const { context, migrations, targets } = this.#host
    progress(0.8, 'connecting')
    await this.main.open(signal)
    if (migrations.length > 0) {
      // Again after each reconnect, too: it is one short query when nothing is left to do.
      progress(0.9, 'migrating')
      const reach = (): Reach => this.#reach(this.#host.mainTarget(), 'main')
      await migrateOnConnect(context, reach, migrations, signal)
    }
    // One of them that is down is not the component's failure: it shows in `inspect` and heals when it is used.
    for (const name of targets.keys()) {
      this.#entry(name)
        ?.openBehind(signal)
        .catch((error: unknown) => {
          context.log.warn({ database: name, err: toError(error) }, 'a named database cannot be reached')
        })
    }
  }

  async close(signal: AbortSignal): Promise<void> {
    const closing = this.#entries().map((entry) => entry.close(signal))
    const failed = (await Promise.allSettled(closing)).filter((each) => each.status === 'rejected')
    if (failed.length > 0) throw toError(failed[0]?.reason)
  }

  /** Undefined where it was removed. */
  named(name: string): LoadedDatabase | undefined {
    return this.#entry(name)
  }

  inspect(): Inspection {
    const databases: Record<string, Inspection> = {}
    for (const [name, { entry }] of this.#named) databases[name] = entry.inspect()
    return { ...this.main.inspect(), ...(this.#named.size === 0 ? {} : { databases }) }
  }

  /** Over all databases. */
  sum(of: keyof PoolStats): number {
    let total = 0
    for (const entry of this.#entries()) total += entry.stats()?.[of] ?? 0
    return total
  }

  async create(name: string): Promise<void> {
    try {
      await this.main.api.execute(`create database ${quoteName(name, 'database')}`, [], {
        timeout: CREATE_LIMIT,
      })
    } catch (error) {
      const state = sqlState(error)
      // There already; or another process makes it at this moment.
      if (state !== '42P04' && state !== '23505') throw error
    }
  }

  async drop(name: string): Promise<void> {
    const quoted = quoteName(name, 'database')
    await this.main.api.execute(`drop database if exists ${quoted} with (force)`, [], {
      timeout: CREATE_LIMIT,
    })
  }

  /** Closes its connections; its name must be out of the targets by then. */
  async remove(name: string): Promise<void> {
    const named = this.#named.get(name)
    if (named === undefined) return
    this.#named.delete(name)
    try {
      await named.entry.close(AbortSignal.timeout(this.#host.context.config.queryTimeout))
    } finally {
      this.#host.named.giveBack(named.host)
    }
  }

  #entries(): readonly DatabaseEntry[] {
    return [this.main, ...Array.from(this.#named.values(), ({ entry }) => entry)]
  }

  #entry(name: string): DatabaseEntry | undefined {
    const known = this.#named.get(name)?.entry
    const target = this.#host.targets.get(name)
    if (known !== undefined || target === undefined) return known
    const host = this.#host.named.take()
    const entry = new DatabaseEntry(host, () => this.#reach(target(), 'named', name))
    this.#named.set(name, { entry, host })
    return entry
  }

  #reach(target: Target, which: 'main' | 'named', database?: string): Reach {
    const { config, clock, log, random, name, appName } = this.#host.context
    this.#warnOfTrust(target, database)
    const isMain = which === 'main'
    return {
      connection: {
        component: name,
        driver: this.#driver,
        client: clientSettings(target, appName),
        connectTimeoutMs: config.connectTimeout,
        prepare: config.preparedStatements,
        types: undefined,
        clock,
        deadlines: this.#deadlines,
        roundTrip: new RoundTrip(FIRST_ROUND_TRIP_MS),
      },
      pool: {
        maxOpen: isMain ? config.maxOpenConns : Math.min(config.maxOpenConns, config.namedMaxOpenConns),
        minIdle: isMain ? config.minConns : 0,
        maxIdle: config.maxIdleConns,
        maxLifetimeMs: config.connMaxLifetime,
        maxIdleMs: config.connMaxIdleTime,
        clock,
        log,
        random,
        onDown: isMain ? (error: SluiceError) => this.#host.context.lost(error) : undefined,
      },
    }
  }

  /** Encryption to a server that anybody may pretend to be. Once an address: thousands of tenants may share one. */
  #warnOfTrust(target: Target, database: string | undefined): void {
    if (sslModeOf(target) !== 'no-verify') return
    const server = withDatabase(target, '')
    const key = 'dsn' in server ? server.dsn : ''
    if (this.#unverified.has(key)) return
    this.#unverified.add(key)
    const { log, name } = this.#host.context
    const fields = database === undefined ? {} : { database }
    log.warn(fields, `${name}: certificates are not verified (sslmode=no-verify)`)
  }
}
