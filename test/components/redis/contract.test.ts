/** The contract between app and component, for redis on a server and in memory. */
import { after } from 'node:test'
import { redis, type Redis } from '../../../src/components/redis/index.ts'
import { componentConformance } from '../../../src/testing/component-conformance.ts'
import { soakCycles } from '../../support/soak.ts'
import { freePort, missingServerProgram, ownServer } from './own-server.ts'

const operation = (api: Redis, signal: AbortSignal): PromiseLike<unknown> => api.with({ signal }).get('key')
const nobody = `127.0.0.1:${await freePort()}`
const skip = await missingServerProgram()
const shared = skip === false ? await ownServer() : undefined
after(() => shared?.[Symbol.asyncDispose]())

componentConformance({
  name: 'redis in memory',
  definition: () => redis(),
  operation,
  cycles: soakCycles(10, 10_000),
})

componentConformance({
  name: 'redis on a server',
  definition: () => redis({ addr: shared?.addr ?? nobody }),
  operation,
  unreachable: () => redis({ addr: nobody, dialTimeout: '2s' }),
  canary: {
    secret: 'canary-4711',
    definition: () =>
      redis({
        addr: `redis://canary-4711:canary-4711@${nobody}`,
        password: 'canary-4711',
        username: 'canary-4711',
      }),
  },
  outage: async () => {
    const server = await ownServer()
    return {
      definition: redis({ addr: server.addr }),
      begin: () => server.kill(),
      end: () => server.start(),
      [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
    }
  },
  skip,
})
