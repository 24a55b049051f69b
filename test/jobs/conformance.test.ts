import { postgres } from '../../src/components/postgres/index.ts'
import { job, jobs } from '../../src/jobs/index.ts'
import { componentConformance } from '../../src/testing/component-conformance.ts'
import { connectComponent } from '../../src/testing/connect-component.ts'
import { after } from 'node:test'
import { z } from 'zod'
import { ownDatabase } from '../support/own-database.ts'
import { server } from './support.ts'

const stack = new AsyncDisposableStack()
after(() => stack.disposeAsync())
const Ping = job('ping', z.object({}))

if (server.skip === false) {
  const { dsn } = stack.use(await ownDatabase(server.url))
  const db = stack.use(await connectComponent(postgres({ dsn }), { name: 'db' }))
  componentConformance({
    name: 'jobs',
    definition: () => jobs(),
    operation: (api, signal) => api.enqueue(Ping, {}, { signal }),
    open: { required: { postgres: db.api } },
    cycles: 3,
  })
}
