/** Jobs on an empty database of a test's own. */
import { postgres, type Postgres } from '../../src/components/postgres/index.ts'
import { jobs, type Jobs, type JobsOptions } from '../../src/jobs/index.ts'
import {
  connectComponent,
  type OpenComponent,
  type OpenComponentOptions,
} from '../../src/testing/connect-component.ts'
import { durableDatabase } from '../support/durable-database.ts'

export { eventually } from '../support/eventually.ts'

export interface TestJobs extends AsyncDisposable {
  readonly dsn: string
  readonly db: Postgres
  readonly jobs: Jobs
  readonly open: OpenComponent<Jobs>
  /** Another process, as far as the database can tell. */
  peer(options?: JobsOptions, more?: OpenComponentOptions): Promise<OpenComponent<Jobs>>
}

/** A database, a postgres component and jobs on it; closed and dropped at the end. */
export async function testJobs(
  options: JobsOptions = {},
  more: OpenComponentOptions = {},
): Promise<TestJobs> {
  const stack = new AsyncDisposableStack()
  try {
    const { dsn } = stack.use(await durableDatabase())
    const connect = async (on: JobsOptions, also: OpenComponentOptions) => {
      const db = stack.use(
        await connectComponent(postgres({ dsn, maxOpenConns: 4 }), { name: 'db', ...also }),
      )
      const open = await connectComponent(jobs(on), { required: { postgres: db.api }, ...also })
      return { db: db.api, open: stack.use(open) }
    }
    const { db, open } = await connect(options, more)
    return {
      dsn,
      db,
      jobs: open.api,
      open,
      peer: async (on = {}, also = {}) => (await connect(on, also)).open,
      [Symbol.asyncDispose]: () => stack.disposeAsync(),
    }
  } catch (error) {
    await stack.disposeAsync()
    throw error
  }
}
