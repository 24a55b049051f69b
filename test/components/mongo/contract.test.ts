/** The contract between app and component. */
import { mongo, type Mongo } from '../../../src/components/mongo/index.ts'
import { componentConformance } from '../../../src/testing/component-conformance.ts'
import { soakCycles } from '../../support/soak.ts'
import { missingServer, proxied, URL } from './support.ts'

const operation = (api: Mongo, signal: AbortSignal): PromiseLike<unknown> =>
  api.collection('contract').findOne({}, { signal })
const nobody = { dialTimeout: '500ms', selectionTimeout: '500ms' } as const

componentConformance({
  name: 'mongo',
  definition: () => mongo({ url: URL }),
  operation,
  unreachable: () => mongo({ url: 'mongodb://127.0.0.1:1', ...nobody }),
  canary: {
    secret: 'canary-4711',
    definition: () =>
      mongo({
        url: 'mongodb://user:canary-4711@127.0.0.1:1/app?authSource=admin',
        password: 'canary-4711',
        username: 'user',
        connections: { archive: 'mongodb://user:canary-4711@127.0.0.1:1/archive' },
        ...nobody,
      }),
  },
  outage: async () => {
    const { proxy, url } = await proxied()
    return {
      definition: mongo({ url, requestTimeout: '2s', heartbeat: '500ms', ...nobody }),
      begin: async () => {
        await proxy.refuse()
        proxy.reset()
      },
      end: () => proxy.accept(),
      [Symbol.asyncDispose]: () => proxy.close(),
    }
  },
  cycles: soakCycles(10, 200),
  skip: await missingServer(),
})
