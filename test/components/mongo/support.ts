/** The shared server, databases of a test's own on it, and what it can do. */
import { randomUUID } from 'node:crypto'
import { mongo, type Mongo, type MongoOptions } from '../../../src/components/mongo/index.ts'
import { parseAddress } from '../../../src/components/mongo/address.ts'
import { isSluiceError, type ErrorCode } from '../../../src/core/errors.ts'
import type { Clock } from '../../../src/core/clock.ts'
import type { Logger } from '../../../src/telemetry/log.ts'
import { connectComponent, type OpenComponent } from '../../../src/testing/connect-component.ts'
import { startFaultProxy, type FaultProxy } from '../../../src/testing/fault-proxy.ts'

/** MONGO_URL of a server of one's own, else the stand-in that `npm run services` starts. */
export const URL = process.env['MONGO_URL'] ?? 'mongodb://127.0.0.1:27017'

/** False, or why tests with the shared server cannot run. */
export async function missingServer(): Promise<false | string> {
  const isRequired = process.env['SLUICE_REQUIRE_SERVERS'] === '1'
  try {
    await using _open = await connectMongo({ selectionTimeout: isRequired ? '20s' : '3s' })
    return false
  } catch (error) {
    const reason = `no MongoDB at the address of the tests (${String(error)}); run: npm run services -- start mongo`
    if (isRequired) throw new Error(`SLUICE_REQUIRE_SERVERS=1 and ${reason}`, { cause: error })
    return reason
  }
}

/** False, or why tests of transactions cannot run: the stand-in has none, and nobody else's server is at hand. */
export async function missingReplicaSet(): Promise<false | string> {
  if ((await missingServer()) !== false) return 'no MongoDB'
  await using open = await connectMongo()
  return open.mongo.status()['topology'] === 'standalone'
    ? 'the server is no replica set (the stand-in has no transactions); set MONGO_URL to one that is'
    : false
}

export interface Connected extends OpenComponent<Mongo> {
  readonly mongo: Mongo
}

export async function connectMongo(
  options: MongoOptions = {},
  more: { readonly log?: Logger; readonly clock?: Clock } = {},
): Promise<Connected> {
  const open = await connectComponent(mongo({ url: URL, ...options }), { name: 'mongo', ...more })
  return Object.assign(Object.create(open) as OpenComponent<Mongo>, { mongo: open.api })
}

/** A name of a database that nobody else has. */
export function ownName(): string {
  return `test_${randomUUID().replaceAll('-', '').slice(0, 20)}`
}

export interface Stage extends AsyncDisposable {
  readonly api: Mongo
  readonly open: Connected
  readonly database: string
}

/** A connected component with a database of its own, which goes with it. */
export async function stage(
  options: MongoOptions = {},
  more: { readonly log?: Logger; readonly clock?: Clock } = {},
): Promise<Stage> {
  const database = ownName()
  const open = await connectMongo({ database, ...options }, more)
  return {
    api: open.mongo,
    open,
    database,
    async [Symbol.asyncDispose]() {
      await open.close()
      await dropDatabases(database)
    },
  }
}

/** With a client of its own: that of the test may be what was broken. */
export async function dropDatabases(...names: readonly string[]): Promise<void> {
  for (const database of names) {
    await using sweeper = await connectMongo({ database })
    await sweeper.mongo.command({ dropDatabase: 1 })
  }
}

export interface Proxied extends Stage {
  readonly proxy: FaultProxy
}

/** The limits that a test looks at are short for a connect on a machine that does other things as well. */
async function connectPatiently(options: MongoOptions): Promise<Stage> {
  const limit = AbortSignal.timeout(50_000)
  for (;;) {
    try {
      return await stage(options)
    } catch (error) {
      if (limit.aborted || !isSluiceError(error) || error.code !== 'SLUICE_UNAVAILABLE') throw error
    }
  }
}

/** The same behind a proxy. */
export async function behindProxy(options: MongoOptions = {}): Promise<Proxied> {
  const { proxy, url } = await proxied()
  try {
    const at = await connectPatiently({
      url,
      requestTimeout: '500ms',
      dialTimeout: '500ms',
      selectionTimeout: '500ms',
      heartbeat: '500ms',
      ...options,
    })
    return {
      ...at,
      proxy,
      async [Symbol.asyncDispose]() {
        proxy.heal()
        await proxy.accept()
        await at[Symbol.asyncDispose]()
        await proxy.close()
      },
    }
  } catch (error) {
    await proxy.close()
    throw error
  }
}

/** A proxy before the server. The driver would ask a replica set for its members, and go past the proxy. */
export async function proxied(): Promise<{ readonly proxy: FaultProxy; readonly url: string }> {
  const parsed = parseAddress(URL)
  if ('expected' in parsed) throw new Error(parsed.expected)
  const [host = '127.0.0.1', port = '27017'] = parsed.hosts[0]!.split(':')
  const proxy = await startFaultProxy({ target: { host, port: Number(port) } })
  return { proxy, url: URL.replace(/(\/\/(?:[^/@]*@)?)[^/?]+/, `$1${proxy.address}`) }
}

export const hasCode =
  (...codes: readonly ErrorCode[]) =>
  (error: unknown): boolean => {
    if (isSluiceError(error) && codes.includes(error.code)) return true
    throw error
  }
