import { postgres } from '../../src/components/postgres/index.ts'
import { job, jobs } from '../../src/jobs/index.ts'
import { componentConformance } from '../../src/testing/component-conformance.ts'
import { connectComponent } from '../../src/testing/connect-component.ts'
import { after } from 'node:test'
import { z } from 'zod'
import { durableDatabase } from '../support/durable-database.ts'

const stack = new AsyncDisposableStack()
after(() => stack.disposeAsync())
const Ping = job('ping', z.object({}))

const { dsn } = stack.use(await durableDatabase())
const db = stack.use(await connectComponent(postgres({ dsn }), { name: 'db' }))
componentConformance({
  name: 'jobs',
  definition: () => jobs(),
  operation: (api, signal) => api.enqueue(Ping, {}, { signal }),
  open: { required: { postgres: db.api } },
  cycles: 3,
})
