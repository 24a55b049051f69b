/** A PostgreSQL and a Redis of a test file's own, started before its tests and ended after them. */
import { after, before } from 'node:test'
import { ownServer, type OwnServer } from '../../components/redis/own-server.ts'
import { ownPostgres, type OwnPostgres } from './own-postgres.ts'
import { skip } from './service.ts'

export interface OwnServers {
  readonly postgres: OwnPostgres
  readonly redis: OwnServer
}

export interface OwnServersOptions {
  /** Settings of Redis, such as `['--requirepass', 'x']`. */
  readonly redisArgs?: readonly string[]
  /** Fills the database. Hooks of one file begin together, so that a second one would find no server yet. */
  readonly prepare?: (postgres: OwnPostgres) => Promise<void>
}

/** Called at the top of a file. The servers are there once its tests run. */
export function ownServers({ redisArgs, prepare }: OwnServersOptions = {}): OwnServers {
  const stack = new AsyncDisposableStack()
  let postgres: OwnPostgres | undefined
  let redis: OwnServer | undefined
  let starting: Promise<void> | undefined
  const start = async (): Promise<void> => {
    postgres = stack.use(await ownPostgres())
    await prepare?.(postgres)
    if (skip === false) redis = stack.use(await ownServer(redisArgs))
  }
  before(() => (starting = start()))
  after(async () => {
    // In a file of which no test is asked for, nobody waits for `before`.
    await starting?.catch(() => {})
    await stack.disposeAsync()
  })
  return {
    get postgres() {
      return started(postgres)
    },
    get redis() {
      return started(redis)
    },
  }
}

function started<T>(server: T | undefined): T {
  if (server === undefined) throw new Error('the servers of this file have not been started')
  return server
}
