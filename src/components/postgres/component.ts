/**
 * The postgres component: finds the server or starts the embedded one, connects, closes.
 *
 * Only what is needed to answer "not ready" is loaded with this module; the rest is imported by `connect`, behind the
 * open port.
 */
import type { Component, ComponentContext, Inspection } from '../../app/component.ts'
import { SluiceError } from '../../core/errors.ts'
import type { OperationSpec, Operations } from '../../telemetry/operate.ts'
import type { Database, Migration, Postgres } from './api.ts'
import { DIRECT, type DirectHost, type DirectSettings } from './direct.ts'
import { parseDsn, withDatabase, type Target } from './dsn.ts'
import type { EmbeddedServer } from './embedded/index.ts'
import type { Engine } from './engine.ts'
import type { EntryHost } from './entry.ts'
import { createHosts, type NamedHosts } from './hosts.ts'
import { quoteName } from './identifier.ts'
import { createLateDatabase, type LoadedDatabase } from './late.ts'
import { namedTarget, type PostgresConfig } from './section.ts'

/** Databases of one component; more need a component more, or a schema instead of a database. */
const MAX_DATABASES = 10_000
const CREATE: OperationSpec = Object.freeze({ name: 'createDatabase', idempotent: false })
const DROP: OperationSpec = Object.freeze({ name: 'dropDatabase', idempotent: false })
const REMOVE: OperationSpec = Object.freeze({ name: 'removeDatabase', idempotent: false })
/** `create database` copies files: it has longer than a statement, at most this. */
const CREATE_LIMIT = '60s'

type Progress = (fraction: number, note?: string) => void

export function createPostgres(
  context: ComponentContext<PostgresConfig>,
  migrations: readonly Migration[] = [],
): Component<Postgres> {
  return new PostgresComponent(context, migrations)
}

class PostgresComponent implements Component<Postgres> {
  readonly #context: ComponentContext<PostgresConfig>
  readonly #migrations: readonly Migration[]
  readonly #mainHost: EntryHost
  readonly #named: NamedHosts
  readonly #targets = new Map<string, () => Target>()
  readonly #handles = new Map<string, Database>()
  readonly #unobserve: readonly (() => void)[]
  readonly api: Postgres
  #engine: Engine | undefined
  #target: Target | undefined
  #server: EmbeddedServer | undefined
  #stopWatching: (() => void) | undefined

  constructor(context: ComponentContext<PostgresConfig>, migrations: readonly Migration[]) {
    this.#context = context
    this.#migrations = migrations
    const { config } = context
    const hosts = createHosts(context)
    this.#mainHost = hosts.main
    this.#named = hosts.named
    this.#unobserve = this.#observe()
    for (const [each, settings] of Object.entries(config.multiConfig ?? {})) {
      if (settings.enabled) this.#add(each, () => namedTarget(settings, () => this.#mainTarget()))
    }
    this.api = this.#createApi()
  }

  async connect(signal: AbortSignal, progress: Progress): Promise<void> {
    const { createEngine } = await import('./engine.ts')
    this.#engine ??= await createEngine({
      context: this.#context,
      main: this.#mainHost,
      named: this.#named,
      targets: this.#targets,
      migrations: this.#migrations,
      mainTarget: () => this.#mainTarget(),
    })
    this.#target = await this.#findServer(signal, progress)
    await this.#engine.open(signal, progress)
  }

  async check(signal: AbortSignal): Promise<void> {
    if (this.#engine === undefined) throw this.#notReady()
    await this.#engine.main.check(signal)
  }

  async close(signal: AbortSignal): Promise<void> {
    try {
      await this.#engine?.close(signal)
    } finally {
      this.#stopWatching?.()
      for (const off of this.#unobserve) off()
      await this.#server?.release(signal)
    }
  }

  inspect(): Inspection {
    return {
      server: this.#context.config.dsn === undefined ? 'embedded' : 'remote',
      ...(this.#server === undefined ? {} : { embedded: this.#server.inspect() }),
      ...this.#engine?.inspect(),
    }
  }

  #createApi(): Postgres & DirectHost {
    const admin = this.#mainHost.transactions
    return {
      [DIRECT]: () => this.#direct(),
      ...this.#context.base,
      ...this.#late(this.#mainHost.single, () => this.#engine?.main),
      database: (name) => this.#find(name),
      databases: () => [...this.#targets.keys()],
      addDatabase: (name, dsn) => this.#addDatabase(name, dsn),
      removeDatabase: (name, options) => admin.run(REMOVE, () => this.#remove(name), options),
      createDatabase: (name, options) =>
        admin.run(CREATE, () => this.#create(name), { timeout: CREATE_LIMIT, ...options }),
      dropDatabase: (name, options) =>
        admin.run(DROP, () => this.#drop(name), { timeout: CREATE_LIMIT, ...options }),
    }
  }

  #direct(): DirectSettings {
    const { name, appName, config } = this.#context
    return {
      component: name,
      target: this.#mainTarget(),
      applicationName: appName,
      connectTimeoutMs: config.connectTimeout,
      maxOpenConns: config.maxOpenConns,
    }
  }

  #late(
    operations: Operations,
    loaded: () => LoadedDatabase | undefined,
    refusal = (): SluiceError => this.#notReady(),
  ): Database {
    return createLateDatabase({ component: this.#context.name, operations, loaded, refusal })
  }

  #observe(): readonly (() => void)[] {
    const { metrics, name } = this.#context
    const help = 'Connections of all databases, by what they do.'
    const states = (['idle', 'leased', 'open'] as const).map((state) =>
      metrics.observe(
        'sluice_postgres_connections',
        help,
        { component: name, state },
        () => this.#engine?.sum(state) ?? 0,
      ),
    )
    const waiting = metrics.observe(
      'sluice_postgres_waiting',
      'Calls that wait for a connection.',
      { component: name },
      () => this.#engine?.sum('waiting') ?? 0,
    )
    return [...states, waiting]
  }

  async #findServer(signal: AbortSignal, progress: Progress): Promise<Target> {
    const { dsn, dataDir, binDir } = this.#context.config
    if (dsn !== undefined) return { dsn }
    const { acquireEmbeddedServer } = await import('./embedded/index.ts')
    if (this.#server === undefined) {
      const { appName, log, clock } = this.#context
      const server = await acquireEmbeddedServer({ dataDir, binDir, appName, log, clock }, signal, progress)
      this.#server = server
      this.#stopWatching = server.onExit((error) => {
        this.#server = undefined
        this.#context.lost(error)
      })
    }
    return this.#server.connection
  }

  #mainTarget(): Target {
    if (this.#target === undefined) throw this.#notReady()
    return this.#target
  }

  #add(name: string, target: () => Target): Database {
    if (this.#targets.size >= MAX_DATABASES) throw this.#wrong(`expected at most ${MAX_DATABASES} databases`)
    this.#targets.set(name, target)
    let loaded: LoadedDatabase | undefined
    // A handle of a database that was removed stays with its closed connections, which say so.
    const handle = this.#late(
      this.#named.refusing,
      () => (loaded ??= this.#engine?.named(name)),
      () => (this.#targets.get(name) === target ? this.#notReady() : this.#removed(name)),
    )
    this.#handles.set(name, handle)
    return handle
  }

  #find(name: string): Database {
    const handle = this.#handles.get(name)
    if (handle !== undefined) return handle
    const known = [...this.#handles.keys()].slice(0, 20)
    const list = known.length === 0 ? 'there is none' : `known are ${known.join(', ')}`
    throw this.#wrong(`no database is called ${JSON.stringify(name)}; ${list}`)
  }

  #addDatabase(name: string, dsn: string | undefined): Database {
    quoteName(name, 'database')
    if (this.#targets.has(name)) throw this.#wrong(`the database ${JSON.stringify(name)} is there already`)
    if (dsn === undefined) return this.#add(name, () => withDatabase(this.#mainTarget(), name))
    const parsed = parseDsn(dsn)
    if (!parsed.ok) throw this.#wrong(`the DSN of ${JSON.stringify(name)}: expected ${parsed.expected}`)
    return this.#add(name, () => ({ dsn: parsed.value }))
  }

  async #remove(name: string): Promise<void> {
    this.#find(name)
    this.#targets.delete(name)
    this.#handles.delete(name)
    await this.#engine?.remove(name)
  }

  async #create(name: string): Promise<Database> {
    quoteName(name, 'database')
    await this.#engine?.create(name)
    return this.#handles.get(name) ?? this.#addDatabase(name, undefined)
  }

  async #drop(name: string): Promise<void> {
    quoteName(name, 'database')
    if (this.#handles.has(name)) await this.#remove(name)
    await this.#engine?.drop(name)
  }

  #notReady(): SluiceError {
    const { name } = this.#context
    return new SluiceError('SLUICE_NOT_READY', `"${name}" is not connected`, {
      component: name,
      retryable: true,
    })
  }

  #removed(database: string): SluiceError {
    const { name } = this.#context
    return new SluiceError('SLUICE_CLOSED', `${name}: the database ${JSON.stringify(database)} was removed`, {
      component: name,
    })
  }

  #wrong(message: string): SluiceError {
    const { name } = this.#context
    return new SluiceError('SLUICE_INVALID_ARGUMENT', `${name}: ${message}`, { component: name })
  }
}
