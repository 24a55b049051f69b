import { audit } from '../../src/audit/index.ts'
import { postgres } from '../../src/components/postgres/index.ts'
import { componentConformance } from '../../src/testing/component-conformance.ts'
import { connectComponent } from '../../src/testing/connect-component.ts'
import { durableDatabase } from '../support/durable-database.ts'
import { soakCycles } from '../support/soak.ts'
import { after } from 'node:test'

const stack = new AsyncDisposableStack()
after(() => stack.disposeAsync())

const own = stack.use(await durableDatabase())
const database = stack.use(await connectComponent(postgres({ dsn: own.dsn }), { name: 'db' }))
componentConformance({
  name: 'audit',
  definition: () => audit(),
  operation: (api, signal) => api.record({ actor: 'ann', action: 'tested' }, { signal }),
  open: { required: { postgres: database.api } },
  cycles: soakCycles(5, 200),
})
