import { rmSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before } from 'node:test'
import { postgres, type Postgres } from '../../../src/components/postgres/index.ts'
import {
  componentConformance,
  connectComponent,
  leakCheck,
  startFaultProxy,
} from '../../../src/testing/index.ts'
import { serverAt } from '../../support/servers.ts'
import { soakCycles } from '../../support/soak.ts'
import { quickDirectory } from './embedded/support/harness.ts'

leakCheck()

const { url, skip } = await serverAt('postgres')
const target = new URL(url)
const SECRET = 'hunter2%canary/of@many:places'

// One directory for all: each start after the first takes milliseconds. Made before the first test is: those begin while
// this file waits, and a hook that comes later runs beside them.
const dataDir = await mkdtemp(join(await quickDirectory(), 'sluice-contract-'))
// The first one makes the database, for which a busy machine may need more than the suite gives a start.
before(async () => {
  await using first = await connectComponent(postgres({ dataDir: join(dataDir, 'data') }))
  await first.check()
})
after(() => rmSync(dataDir, { recursive: true, force: true }))

const operation = (api: Postgres, signal: AbortSignal) => api.query('select 1', [], { signal })

componentConformance({
  name: 'postgres on a server',
  skip,
  definition: () => postgres({ dsn: url }),
  operation,
  unreachable: () => postgres({ dsn: 'postgres://127.0.0.1:1/nobody' }),
  canary: {
    secret: SECRET,
    definition: () => postgres({ dsn: `postgres://ada:${encodeURIComponent(SECRET)}@127.0.0.1:1/nobody` }),
  },
  outage: async () => {
    const port = target.port === '' ? 5432 : Number(target.port)
    const proxy = await startFaultProxy({ target: { host: target.hostname, port } })
    const address = new URL(url)
    address.host = proxy.address
    return {
      definition: postgres({ dsn: address.href }),
      async begin() {
        await proxy.refuse()
        proxy.reset()
      },
      end: () => proxy.accept(),
      [Symbol.asyncDispose]: () => proxy.close(),
    }
  },
})

componentConformance({
  name: 'postgres, embedded',
  definition: () => postgres({ dataDir: join(dataDir, 'data') }),
  operation,
  cycles: soakCycles(3, 200),
})
