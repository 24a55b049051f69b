import { after } from 'node:test'
import { memorySink, MemoryStore, type SinkFactory } from '../../src/replicator/index.ts'
import { componentConformance } from '../../src/testing/component-conformance.ts'
import { SluiceError } from '../../src/core/errors.ts'
import { API_KEY, replicatorOf, startSource } from './support.ts'

const source = await startSource()
for (let index = 0; index < 20; index++) source.log.seed('company', `c${index}`, { index })
after(() => source.stop())

/** A sink that cannot be opened. */
const away: SinkFactory = (context) => ({
  ...memorySink({ store: new MemoryStore() })(context),
  kind: 'away',
  open: () => Promise.reject(new SluiceError('SLUICE_UNAVAILABLE', 'nobody there', { retryable: true })),
  close: () => Promise.resolve(),
  inspect: () => ({}),
})

componentConformance({
  name: 'replicator',
  definition: () => replicatorOf(source),
  operation: (api, signal) => api.deadLetters({ signal }),
  unreachable: () => replicatorOf(source, { sink: away }),
  canary: { secret: API_KEY, definition: () => replicatorOf(source, { sink: away }) },
})
