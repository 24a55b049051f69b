import { cron } from '../../src/cron/index.ts'
import { componentConformance } from '../../src/testing/component-conformance.ts'
import { leakCheck } from '../../src/testing/leak-check.ts'
import { soakCycles } from '../support/soak.ts'

leakCheck()

componentConformance({
  name: 'cron in this process',
  definition: () => cron(),
  operation: async (api, signal) => {
    if (!(api.status()['schedules'] as { name: string }[]).some(({ name }) => name === 'noop')) {
      try {
        api.schedule('noop', '@yearly', () => {})
      } catch {
        // Registered before it was connected.
      }
    }
    await api.runNow('noop', { signal })
  },
  cycles: soakCycles(10, 1_000),
})
