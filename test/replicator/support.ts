/** A source, a replicator and a store, for tests of the whole. */
import { StreamLog, type Data } from '../../examples/replicator/source/stream-log.ts'
import { SourceServer, type SourceServerOptions } from '../../examples/replicator/source/server.ts'
import {
  httpLoader,
  memorySink,
  MemoryStore,
  replicator,
  webSocketSource,
  type ReplicatorOptions,
} from '../../src/replicator/index.ts'

export const PLURALS = { company: 'companies', user: 'users', flag: 'flags' } as const
export const START_MS = 1_000
export const API_KEY = 'canary-4f1c-key'

export async function startSource(options: Partial<SourceServerOptions> & { readonly keep?: number } = {}) {
  const log = options.log ?? new StreamLog(PLURALS, options.keep ?? 10_000, START_MS)
  return SourceServer.start({ heartbeatMs: 20, apiKey: API_KEY, ...options, log })
}

/** A replicator of this source, quick to notice things. */
export function replicatorOf(source: Pick<SourceServer, 'url' | 'bulkUrl'>, options: ReplicatorOptions = {}) {
  return replicator({
    source: webSocketSource({ url: source.url, apiKey: API_KEY, pingInterval: 200, maxBackoff: 100 }),
    loader: httpLoader({ url: source.bulkUrl, apiKey: API_KEY, pageSize: 7 }),
    sink: memorySink({ store: new MemoryStore() }),
    circuitBreakerTimeout: 50,
    ...options,
  })
}

/** What the source has, as JSON text by lane and id. */
export function expected(log: StreamLog): Record<string, string> {
  const all: Record<string, string> = {}
  for (const [lane, entities] of log.lanes) {
    for (const [id, data] of entities.byId) if (data !== undefined) all[`${lane}:${id}`] = canonical(data)
  }
  return all
}

/** JSON with sorted keys: the order of fields is no part of an entity. */
export function canonical(data: Data): string {
  return JSON.stringify(Object.fromEntries(Object.entries(data).sort(([a], [b]) => (a < b ? -1 : 1))))
}

/** What a memory store has, in the same form. */
export function stored(store: MemoryStore): Record<string, string> {
  const all: Record<string, string> = {}
  for (const lane of Object.keys(PLURALS)) {
    for (const id of store.ids(lane)) {
      all[`${lane}:${id}`] = canonical(JSON.parse(store.entity(lane, id) ?? 'null') as Data)
    }
  }
  return all
}
