import { postgres } from '../../src/components/postgres/index.ts'
import { event, events } from '../../src/events/index.ts'
import { componentConformance } from '../../src/testing/component-conformance.ts'
import { connectComponent } from '../../src/testing/connect-component.ts'
import { soakCycles } from '../support/soak.ts'
import { after } from 'node:test'
import { openTestServer } from '../../src/testing/index.ts'
import { anything } from './support.ts'

// One database for all, on the embedded server: what is left by one life is found by the next.
const server = await openTestServer()
const database = await server.createDatabase()
const db = await connectComponent(postgres({ dsn: database.dsn }))
after(async () => {
  await db.close()
  await database.drop()
  await server.close()
})

const Checked = event('conformance.checked', anything<object>())

componentConformance({
  name: 'events',
  definition: () => events(),
  operation: (api, signal) => api.publish(Checked, {}, { signal }),
  open: { required: { postgres: db.api } },
  cycles: soakCycles(5, 200),
})
