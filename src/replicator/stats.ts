/** What a replicator says of itself, as JSON. */
import type { LaneStats, ReplicatorStats } from './api.ts'
import type { Runtime } from './runtime.ts'
import { streamIdText, type StreamId } from './stream-id.ts'

export function statsOf(runtime: Runtime | undefined): ReplicatorStats {
  if (runtime === undefined) return IDLE
  const { lanes, notReady, progress } = runtime
  const byName: Record<string, LaneStats> = {}
  for (const lane of lanes.lanes) {
    byName[lane.spec.name] = {
      ...lane.counters,
      batches: { ...lane.counters.batches },
      pending: lane.held,
      pendingBytes: lane.heldBytes,
      parked: lane.parked,
      limit: lane.limits.maxChanges,
    }
  }
  return {
    role: runtime.role,
    ready: notReady === undefined,
    notReady: notReady ?? null,
    live: runtime.isLive,
    cursor: text(lanes.cursor),
    received: text(lanes.positions.newest),
    lagMs: Math.round(runtime.lagMs),
    inFlight: lanes.inFlight,
    breaker: runtime.breaker.state.kind,
    // Without what is not known, so that it is JSON.
    loading: progress === undefined ? null : (JSON.parse(JSON.stringify(progress)) as typeof progress),
    lanes: byName,
    ...runtime.facts,
  }
}

const IDLE: ReplicatorStats = Object.freeze({
  role: 'idle',
  ready: false,
  notReady: 'not connected',
  live: false,
  cursor: null,
  received: null,
  lagMs: 0,
  inFlight: 0,
  breaker: 'closed',
  loading: null,
  lanes: {},
  sessions: 0,
  disconnects: 0,
  reloads: 0,
  pauses: 0,
})

function text(id: StreamId | undefined): string | null {
  return id === undefined ? null : streamIdText(id)
}
