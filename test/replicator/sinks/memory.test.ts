import { MemoryStore, memorySink } from '../../../src/replicator/sinks/memory/index.ts'
import { sinkConformance } from './conformance.ts'
import { LANE_NAMES, type Stage } from './support.ts'

function stage(): Promise<Stage> {
  const store = new MemoryStore()
  return Promise.resolve({
    sink: (options = {}) => memorySink({ store, ...options }),
    entity: (lane, id) => Promise.resolve(store.entity(lane, id)),
    lookup: (lane, name) => Promise.resolve(store.lookup(lane, name)),
    ids: (lane) => Promise.resolve(store.ids(lane).sort()),
    isLeased: (lane) => Promise.resolve(store.lane(lane).leasedUntilMs > Date.now()),
    expireLeases: () => Promise.resolve(LANE_NAMES.forEach((lane) => (store.lane(lane).leasedUntilMs = 0))),
    empty: () => Promise.resolve(store.clear()),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  })
}

sinkConformance('memory', stage, false)
