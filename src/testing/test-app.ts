/**
 * A whole app for a test: on a free port, each postgres component on an empty database of its own on the embedded
 * server, redis in memory, and nothing of the machine's environment or files in its configuration.
 *
 *     await using test = await createTestApp({ name: 'todo', components, services: [users, todos] })
 *     const reply = await test.inject({ method: 'POST', url: '/todos', payload: { title: 'x' } })
 */
import type { InjectOptions, LightMyRequestResponse } from 'fastify'
import { createApp, type App } from '../app/app.ts'
import type { AppOptions } from '../app/options.ts'
import type { Components, Service, UserSchemas } from '../app/service.ts'
import type { TestDatabase, TestServer, TestTemplate } from '../components/postgres/embedded/test-database.ts'
import { waitOrAbort } from '../core/abort.ts'
import { durationMs, type Duration } from '../core/duration.ts'
import { SluiceError } from '../core/errors.ts'
import { silentLogger } from '../telemetry/log.ts'

export interface TestAppOptions<C extends Components, S extends UserSchemas> extends Omit<
  AppOptions<C, S>,
  'port' | 'host'
> {
  /** Services of files of their own, as for `app.use`. @default none */
  readonly services?: readonly Service<never>[]
  /** Called before the start: the place for `app.service`, `app.http.register` and the like. */
  readonly configure?: (app: App<C, S>) => void
  /** What databases begin with; it is made once for its key. @default empty */
  readonly template?: TestTemplate
  /** A server that the file holds (`openTestServer`) makes each database cheaper. @default one for this app */
  readonly databases?: TestServer
  /** Wait until every component has been ready once; false to test what happens before. @default '30s' */
  readonly ready?: Duration | false
}

export interface TestApp<C extends Components, S extends UserSchemas = UserSchemas> extends AsyncDisposable {
  readonly app: App<C, S>
  readonly components: App<C, S>['components']
  /** Such as `http://127.0.0.1:41234`. */
  readonly url: string
  /**
   * A request without a socket, by Fastify's `inject`. It skips what surrounds the server: the request's context
   * (`currentContext`), load shedding, `Connection: close` while draining. Use `fetch` where these matter.
   */
  inject(request: InjectOptions | string): Promise<LightMyRequestResponse>
  /** A request through a real socket; `path` begins with a slash. */
  fetch(path: string, init?: RequestInit): Promise<Response>
  /** Stops the app and drops its databases. Idempotent. */
  stop(): Promise<number>
}

/** Starts the app. Rejects with what its start rejects with, or SLUICE_TIMEOUT when it is not ready in time. */
export async function createTestApp<
  const C extends Components = Record<never, never>,
  const S extends UserSchemas = Record<never, never>,
>(options: TestAppOptions<C, S>): Promise<TestApp<C, S>> {
  const { services = [], configure, template, databases, ready = '30s', ...appOptions } = options
  const made: TestDatabase[] = []
  const dropAll = async (): Promise<void> => {
    await Promise.allSettled(made.map((database) => database.drop()))
  }
  try {
    const config: Record<string, unknown> = { ...options.config }
    for (const [name, definition] of Object.entries(options.components ?? {})) {
      if (definition.kind !== 'postgres' || hasAddress(definition.overrides, config[name])) continue
      const database = await createDatabase({ template, databases })
      made.push(database)
      config[name] = { ...(config[name] as object | undefined), dsn: database.dsn }
    }
    const app = createApp<C, S>({
      env: {},
      configFile: false,
      logger: silentLogger,
      ...(appOptions as AppOptions<C, S>),
      config,
      port: 0,
      host: '127.0.0.1',
    })
    for (const service of services) app.use(service as never)
    configure?.(app)
    return await started(app, ready, dropAll)
  } catch (error) {
    await dropAll()
    throw error
  }
}

async function started<C extends Components, S extends UserSchemas>(
  app: App<C, S>,
  ready: Duration | false,
  dropAll: () => Promise<void>,
): Promise<TestApp<C, S>> {
  let stopping: Promise<number> | undefined
  const stop = async (): Promise<number> => {
    try {
      return await app.stop()
    } finally {
      await dropAll()
    }
  }
  await app.start()
  try {
    if (ready !== false) await waitUntilReady(app, durationMs(ready, 'ready'))
  } catch (error) {
    await stop()
    throw error
  }
  const test: TestApp<C, S> = {
    app,
    get components() {
      return app.components
    },
    url: app.address.url,
    inject: (request) => app.http.inject(request),
    fetch: (path, init) => fetch(new URL(path, app.address.url), init),
    stop() {
      stopping ??= stop()
      return stopping
    },
    async [Symbol.asyncDispose]() {
      await test.stop()
    },
  }
  return test
}

async function waitUntilReady(app: App, ms: number): Promise<void> {
  const limit = AbortSignal.timeout(ms)
  try {
    await waitOrAbort(app.init.ready(), limit)
  } catch (cause) {
    if (!limit.aborted) throw cause
    const waiting = Object.values(app.init.status()).filter((each) => !each.initialized)
    const what = waiting.map((each) => `${each.name} is ${each.state}${each.error ? ` (${each.error})` : ''}`)
    throw new SluiceError('SLUICE_TIMEOUT', `not ready after ${ms} ms: ${what.join('; ')}`, { cause })
  }
}

/** Was this component given a server of its own? */
function hasAddress(overrides: Readonly<Record<string, unknown>>, config: unknown): boolean {
  return overrides['dsn'] !== undefined || (typeof config === 'object' && config !== null && 'dsn' in config)
}

async function createDatabase(from: {
  readonly template: TestTemplate | undefined
  readonly databases: TestServer | undefined
}): Promise<TestDatabase> {
  const options = { template: from.template }
  if (from.databases !== undefined) return from.databases.createDatabase(options)
  const { createTestDatabase } = await import('../components/postgres/embedded/test-database.ts')
  return createTestDatabase(options)
}
