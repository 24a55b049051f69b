/** The contract between app and component, on a service and over a directory. */
import { after } from 'node:test'
import { s3, type S3 } from '../../../src/components/s3/index.ts'
import { componentConformance } from '../../../src/testing/component-conformance.ts'
import { soakCycles } from '../../support/soak.ts'
import { missingService, onService, ownDirectory, proxied } from './support.ts'

const skip = await missingService()
const { path, remove } = await ownDirectory()
after(remove)

const operation = (api: S3, signal: AbortSignal): PromiseLike<unknown> => api.exists('key', { signal })
const nobody = { endpoint: 'http://127.0.0.1:1', bucket: 'nobody' } as const

componentConformance({
  name: 's3 over a directory',
  definition: () => s3({ directory: path }),
  operation,
  cycles: soakCycles(10, 1_000),
})

componentConformance({
  name: 's3 on a service',
  definition: () => s3(onService()),
  operation,
  unreachable: () => s3({ ...nobody, accessKeyId: 'a', secretAccessKey: 'b', dialTimeout: '2s' }),
  canary: {
    secret: 'canary-4711',
    definition: () =>
      s3({
        ...nobody,
        accessKeyId: 'canary-4711',
        secretAccessKey: 'canary-4711',
        sessionToken: 'canary-4711',
        signingKey: 'canary-4711',
      }),
  },
  outage: async () => {
    const { proxy, endpoint } = await proxied()
    return {
      definition: s3(onService({ endpoint, requestTimeout: '5s' })),
      begin: async () => {
        await proxy.refuse()
        proxy.reset()
      },
      end: () => proxy.accept(),
      [Symbol.asyncDispose]: () => proxy.close(),
    }
  },
  cycles: soakCycles(5, 200),
  skip,
})
