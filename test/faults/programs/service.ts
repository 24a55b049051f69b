/** The service that is put under faults: routes on PostgreSQL, on Redis and on neither. */
import { createApp, hasCode, isSluiceError } from '../../../src/index.ts'
import type { App, Duration } from '../../../src/index.ts'
import { postgres, type Migration } from '../../../src/components/postgres/index.ts'
import { redis } from '../../../src/components/redis/index.ts'
import type { AppOptions } from '../../../src/app/options.ts'
import type { UserSchemas } from '../../../src/app/service.ts'

/** `deadline`: of every call; `steps`: migrations that run when the database connects. */
function componentsOf(deadline: Duration, steps: number) {
  return {
    db: postgres({
      queryTimeout: deadline,
      transactionTimeout: deadline,
      connectTimeout: deadline,
      migrations: Array.from({ length: steps }, (_, at) => stepOf(at)),
    }),
    cache: redis({
      readTimeout: deadline,
      writeTimeout: deadline,
      poolTimeout: 0,
      dialTimeout: deadline,
      pingInterval: '500ms',
    }),
  }
}

export type FaultComponents = ReturnType<typeof componentsOf>

export interface FaultOptions extends Partial<AppOptions<FaultComponents, UserSchemas>> {
  /** Of every call. Short, because most tests wait for it to pass. @default '1s' */
  readonly deadline?: Duration
  /** Migrations that run when the database connects. @default 0 */
  readonly steps?: number
}

/** A migration of two halves, with a moment between them. */
function stepOf(at: number): Migration {
  const name = `step_${at}`
  return { name, up: `create table ${name} (n int); insert into ${name} select ${at} from pg_sleep(0.02)` }
}

/** What the route of a write tells: the code of what went wrong, which a client of a real service is not told. */
export interface Told {
  readonly code: string
}

export function serviceUnderFaults({
  deadline = '1s',
  steps = 0,
  ...options
}: FaultOptions = {}): App<FaultComponents> {
  const app = createApp({
    name: 'faults',
    components: componentsOf(deadline, steps),
    port: 0,
    host: '127.0.0.1',
    configFile: false,
    health: { interval: '500ms', timeout: '500ms' },
    // On a busy machine the loop is late, and requests would be turned away for that and not for what is tested.
    http: { overload: false },
    ...options,
  })
  app.service('plain', ({ http }) => {
    http.get('/plain', () => ({ plain: true }))
  })
  app.service('database', ({ http, db }) => {
    http.get('/db', async () => ({ rows: await db.query('select 1 as n') }))
    http.get('/items', async () => {
      const rows = await db.query<{ id: number }>('select id from items')
      return { ids: rows.map(({ id }) => id) }
    })
    http.get('/steps', async () => {
      const tables = Array.from({ length: steps }, (_, at) => `select n from step_${at}`)
      const rows = await db.query<{ n: number }>(`${tables.join(' union all ')} order by n`)
      return { steps: rows.map(({ n }) => n) }
    })
    http.post('/items/:id', async (request, reply) => {
      const { id } = request.params as { readonly id: string }
      await telling(reply, () => db.insert(INSERT, [Number(id)]))
      return reply
    })
    return {
      start: async () => void (await db.execute('create table if not exists items (id int primary key)')),
    }
  })
  app.service('store', ({ http, cache }) => {
    http.get('/cache', async () => ({ value: await cache.get('value') }))
    http.post('/counts/:id', async (request, reply) => {
      const { id } = request.params as { readonly id: string }
      await telling(reply, () => cache.incr(`count:${id}`))
      return reply
    })
  })
  return app
}

/** Takes a moment, so that whatever happens meets some of them under way. */
const INSERT = 'insert into items (id) select $1::int from pg_sleep(0.005)'

interface Reply {
  code(status: number): { send(body: unknown): unknown }
}

async function telling(reply: Reply, write: () => PromiseLike<unknown>): Promise<void> {
  try {
    await write()
    reply.code(201).send({ code: 'OK' })
  } catch (error) {
    if (!isSluiceError(error)) throw error
    const status = hasCode(error, 'SLUICE_OUTCOME_UNKNOWN') || hasCode(error, 'SLUICE_TIMEOUT') ? 504 : 503
    reply.code(status).send({ code: error.code } satisfies Told)
  }
}
