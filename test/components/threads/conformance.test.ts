import { threads } from '../../../src/components/threads/index.ts'
import { componentConformance } from '../../../src/testing/component-conformance.ts'
import { soakCycles } from '../../support/soak.ts'
import { leakCheck } from '../../../src/testing/leak-check.ts'

leakCheck()

const task = new URL('./tasks/good.ts', import.meta.url)

componentConformance({
  name: 'threads',
  definition: () => threads({ maxThreads: 2 }),
  operation: (api, signal) => api.run(task, 'data', { signal }),
  cycles: soakCycles(5, 200),
})
