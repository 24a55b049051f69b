/**
 * The database that a command is about, connected as the app would: by the app's own configuration, by a DSN, or by what
 * the environment says. The app is made and not started; no handler is here, no worker registers, no migration runs,
 * and of the engine only what asks and tells.
 */
import type { Postgres } from '../../components/postgres/api.ts'
import type { PostgresConfig } from '../../components/postgres/section.ts'
import type { PostgresDefinition } from '../../components/postgres/index.ts'
import type { ComponentBase, ComponentContext, ComponentDefinition } from '../../app/component.ts'
import { resolveRequirements } from '../../app/requirements.ts'
import type { ComponentConfig } from '../../config/load.ts'
import { configError } from '../../config/problem.ts'
import { systemClock } from '../../core/clock.ts'
import { SluiceError } from '../../core/errors.ts'
import type { Engine } from '../../engine/engine.ts'
import { WorkerPool } from '../../pool/worker-pool.ts'
import { silentLogger } from '../../telemetry/log.ts'
import { createMetrics } from '../../telemetry/metrics.ts'
import type { Invocation, Terminal } from '../command.ts'
import { createContext } from '../component-context.ts'
import { Misunderstood } from '../misunderstood.ts'
import { readSubject } from '../subject.ts'
import { chooseDatabase } from './choose.ts'

const CLOSE_LIMIT_MS = 5_000

export interface OpenDatabase extends AsyncDisposable {
  readonly db: Postgres
  readonly definition: PostgresDefinition
  readonly config: PostgresConfig
  /** The database's clock, when it was asked. */
  readonly now: Date
}

export interface OpenEngine extends OpenDatabase {
  /** Not open: it has no worker and does nothing by itself. */
  readonly engine: Engine
}

/** @param kind of the component whose database it is; any, where there is only one */
export async function openDatabase(
  invocation: Invocation,
  terminal: Terminal,
  kind?: string,
): Promise<OpenDatabase> {
  const { name, app, definition, config } = await findDatabase(invocation, terminal, kind)
  if (!config.enabled) {
    throw new SluiceError('SLUICE_DISABLED', `"${name}" is turned off by configuration`, { component: name })
  }
  const { db, close } = await connectDatabase(name, definition, config, app)
  try {
    const row = await db.queryOne<{ now: Date }>('select clock_timestamp() as now')
    const values = config.values as PostgresConfig
    return { db, definition, config: values, now: row?.now ?? new Date(), [Symbol.asyncDispose]: close }
  } catch (error) {
    await close()
    throw error
  }
}

/** Connected, without the migrations: who only looks changes nothing. */
export async function connectDatabase(
  name: string,
  definition: ComponentDefinition<ComponentBase>,
  config: ComponentConfig,
  app: string,
): Promise<{ readonly db: Postgres; readonly close: () => Promise<void> }> {
  const { createPostgres } = await import('../../components/postgres/component.ts')
  const pool = new WorkerPool({ name, workers: config.workers, maxWaiting: 100 })
  let connected = false
  const context = createContext(name, definition, config, app, pool, () => connected)
  const component = createPostgres(context as ComponentContext<PostgresConfig>)
  const close = async (): Promise<void> => {
    await component.close(AbortSignal.timeout(CLOSE_LIMIT_MS)).catch(() => {})
    await pool.close().catch(() => {})
  }
  try {
    await component.connect(limit(name, 'connect', config.connectTimeoutMs), () => {})
    connected = true
    return { db: component.api, close }
  } catch (error) {
    await close()
    throw error
  }
}

/** As openDatabase, with the engine's tables, which must be there and of this version. */
export async function openEngine(
  invocation: Invocation,
  terminal: Terminal,
  kind: string,
  { tells = false }: { readonly tells?: boolean } = {},
): Promise<OpenEngine> {
  const open = await openDatabase(invocation, terminal, kind)
  try {
    const [{ Engine }, { readVersion }, { SCHEMA_VERSION }] = await Promise.all([
      import('../../engine/engine.ts'),
      import('../../engine/migrate.ts'),
      import('../../engine/schema.ts'),
    ])
    checkVersion(open.db.name, await readVersion(open.db), SCHEMA_VERSION)
    const { db } = open
    const quiet = { log: silentLogger, metrics: createMetrics() }
    const engine = new Engine({ db, clock: systemClock, random: Math.random, appName: 'sluice', ...quiet })
    // Hints only make others look sooner: behind a pooler that cannot listen they look by themselves.
    if (tells) await engine.wake.open({ notify: true }).catch(() => {})
    return {
      ...open,
      engine,
      [Symbol.asyncDispose]: async () => {
        await engine.wake.close().catch(() => {})
        await open[Symbol.asyncDispose]()
      },
    }
  } catch (error) {
    await open[Symbol.asyncDispose]()
    throw error
  }
}

interface Found {
  readonly name: string
  readonly app: string
  readonly definition: PostgresDefinition
  readonly config: ComponentConfig
}

async function findDatabase(invocation: Invocation, terminal: Terminal, kind?: string): Promise<Found> {
  const { dsn, database } = invocation.values
  let name = ''
  const subject = await readSubject(invocation, terminal, (given) => {
    const components = resolveRequirements(given)
    name = chooseDatabase(components, kind, database)
    const chosen = components[name]
    if (dsn === undefined || chosen === undefined) return components
    return { ...components, [name]: { ...chosen, overrides: { ...chosen.overrides, dsn } } }
  })
  const { problems, components } = subject.config
  if (problems.length > 0) throw configError(problems)
  const definition = subject.components[name]
  const config = components[name]
  if (definition === undefined || config === undefined)
    throw new SluiceError('SLUICE_INTERNAL', `no "${name}"`)
  if (subject.app === undefined && !config.configured) {
    throw new Misunderstood("no database named: give the app's file, --dsn, or POSTGRES_DSN")
  }
  return { name, app: subject.app ?? 'sluice', definition: definition as PostgresDefinition, config }
}

/** Throws where the tables are not those that this program works with. */
export function checkVersion(component: string, found: number, wanted: number): void {
  if (found === wanted) return
  const text =
    found === 0
      ? `${component}: there are no tables of sluice in this database`
      : `${component}: the tables of sluice are of version ${found}, and this program works with ${wanted}`
  const hint =
    found > wanted
      ? 'Run the newer version of sluice.'
      : 'Is it the right database? Tables are made by `sluice migrate`, and by an app with jobs, events or cron at its start.'
  throw new SluiceError(found > wanted ? 'SLUICE_CONFLICT' : 'SLUICE_NOT_READY', text, { component, hint })
}

function limit(component: string, what: string, ms: number): AbortSignal {
  const controller = new AbortController()
  const text = `"${component}: ${what}" timed out after ${ms} ms`
  systemClock.setTimer(() => controller.abort(new SluiceError('SLUICE_TIMEOUT', text, { component })), ms, {
    keepAlive: false,
  })
  return controller.signal
}
