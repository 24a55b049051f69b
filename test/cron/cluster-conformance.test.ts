import { after } from 'node:test'
import { postgres } from '../../src/components/postgres/index.ts'
import { cron } from '../../src/cron/index.ts'
import { componentConformance } from '../../src/testing/component-conformance.ts'
import { connectComponent } from '../../src/testing/connect-component.ts'
import { durableDatabase } from '../support/durable-database.ts'
import { soakCycles } from '../support/soak.ts'

const stack = new AsyncDisposableStack()
after(() => stack.disposeAsync())

const { dsn } = stack.use(await durableDatabase())
const db = stack.use(await connectComponent(postgres({ dsn, maxOpenConns: 4 }), { name: 'db' }))
componentConformance({
  name: 'cron in the cluster',
  definition: () => cron({ pollInterval: '250ms' }),
  operation: async (api, signal) => {
    try {
      api.schedule('noop', '@yearly', () => {})
    } catch {
      // Registered by an operation before.
    }
    await api.runNow('noop', { signal })
  },
  open: { required: { postgres: db.api } },
  cycles: soakCycles(3, 100),
})
