import { audit } from '../../src/audit/index.ts'
import { postgres } from '../../src/components/postgres/index.ts'
import { componentConformance } from '../../src/testing/component-conformance.ts'
import { connectComponent } from '../../src/testing/connect-component.ts'
import { ownDatabase } from '../support/own-database.ts'
import { serverAt } from '../support/servers.ts'
import { soakCycles } from '../support/soak.ts'
import { after } from 'node:test'

const server = await serverAt('postgres')
const stack = new AsyncDisposableStack()
after(() => stack.disposeAsync())

if (server.skip === false) {
  const own = stack.use(await ownDatabase(server.url))
  const database = stack.use(await connectComponent(postgres({ dsn: own.dsn }), { name: 'db' }))
  componentConformance({
    name: 'audit',
    definition: () => audit(),
    operation: (api, signal) => api.record({ actor: 'ann', action: 'tested' }, { signal }),
    open: { required: { postgres: database.api } },
    cycles: soakCycles(5, 200),
  })
}
