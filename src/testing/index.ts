/** `sluice/testing`: what tests of services and of components need; never imported by production code. */
export { componentConformance, type ConformanceOptions, type Outage } from './component-conformance.ts'
export {
  connectComponent,
  openComponent,
  type OpenComponent,
  type OpenComponentOptions,
} from './connect-component.ts'
export type { FaultConnection, FaultCounts, FaultTarget } from './fault-connection.ts'
export { startFaultProxy, type FaultProxy, type FaultProxyOptions } from './fault-proxy.ts'
export type { FaultDirection, FaultVerbs, FaultWay, Intercept } from './fault-settings.ts'
export {
  assertNoLeaks,
  leakCheck,
  leaksSince,
  snapshotResources,
  type LeakCheckOptions,
  type ResourceSnapshot,
} from './leak-check.ts'
export {
  componentOwner,
  lifecycleStress,
  type LifecycleOwner,
  type LifecycleStressOptions,
} from './lifecycle-stress.ts'
export { ManualClock } from './manual-clock.ts'
export { seededRandom } from './seeded-random.ts'
export { createTestApp, type TestApp, type TestAppOptions } from './test-app.ts'
export {
  createTestDatabase,
  openTestServer,
  type TestDatabase,
  type TestDatabaseOptions,
  type TestServer,
  type TestTemplate,
} from '../components/postgres/embedded/test-database.ts'
