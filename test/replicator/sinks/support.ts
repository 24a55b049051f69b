/** What the suites of the sinks share: changes, batches, and sinks that are closed at the end. */
import { setTimeout as delay } from 'node:timers/promises'
import { isSluiceError, type ErrorCode } from '../../../src/core/errors.ts'
import { systemClock, type Clock } from '../../../src/core/clock.ts'
import type {
  Batch,
  Change,
  Utf8,
  EntityData,
  LaneSpec,
  PartContext,
  Sink,
  SinkFactory,
  SinkState,
} from '../../../src/replicator/contract.ts'
import { parseStreamId, type StreamId } from '../../../src/replicator/stream-id.ts'
import { silentLogger } from '../../../src/telemetry/log.ts'
import { createMetrics } from '../../../src/telemetry/metrics.ts'

export const LANES: readonly LaneSpec[] = [
  { name: 'company', plural: 'companies', lookups: undefined, ttlMs: 0 },
  {
    name: 'user',
    plural: 'users',
    lookups: (data) => (data['names'] ?? []) as readonly string[],
    ttlMs: 0,
  },
  { name: 'visit', plural: 'visits', lookups: (data) => [`seen:${String(data['seen'])}`], ttlMs: 80 },
]
export const LANE_NAMES = LANES.map(({ name }) => name)

/** One store, and ways into it that are not the sink's. */
export interface Stage extends AsyncDisposable {
  /** A sink on this store. */
  sink(options?: { readonly leaseMs?: number; readonly tombstoneMs?: number }): SinkFactory
  /** The text of an entity, or undefined. */
  entity(lane: string, id: string): Promise<string | undefined>
  lookup(lane: string, name: string): Promise<string | undefined>
  /** Ids of the entities of a lane, sorted. */
  ids(lane: string): Promise<readonly string[]>
  /** Does a lease exist whose time is not over? */
  isLeased(lane: string): Promise<boolean>
  /** As if the time of every lease were over. */
  expireLeases(): Promise<void>
  /** As a server that lost its data. */
  empty(): Promise<void>
}

/** A clock whose timers never fire: a process that stands still between its calls. */
export const stalledClock: Clock = { ...systemClock, setTimer: () => ({ cancel: () => {} }) }

export function context(clock: Clock = systemClock, lanes = LANES): PartContext {
  return {
    name: 'replicator',
    appName: 'test',
    clock,
    random: Math.random,
    log: silentLogger,
    metrics: createMetrics(),
    lanes,
  }
}

export interface OpenSink extends AsyncDisposable {
  readonly sink: Sink
  readonly state: SinkState
  readonly losses: readonly Error[]
  apply(lane: string, changes: readonly Change[], more?: Partial<Batch>): ReturnType<Sink['apply']>
  reopen(): Promise<SinkState>
}

export const soon = (): AbortSignal => AbortSignal.timeout(50_000)

export async function openSink(
  factory: SinkFactory,
  options: {
    readonly clock?: Clock
    readonly lanes?: readonly string[]
    readonly onWaiting?: () => void
  } = {},
): Promise<OpenSink> {
  const sink = factory(context(options.clock))
  const losses: Error[] = []
  const open = (): Promise<SinkState> =>
    sink.open({
      lanes: options.lanes ?? LANE_NAMES,
      onLost: (error) => void losses.push(error),
      onWaiting: options.onWaiting ?? (() => {}),
      signal: soon(),
    })
  return {
    sink,
    state: await open(),
    losses,
    apply: (lane, changes, more) => sink.apply({ ...batch(lane, changes), ...more }, soon()),
    reopen: open,
    [Symbol.asyncDispose]: () => sink.close(soon()),
  }
}

export const id = (text: string): StreamId => parseStreamId(text)!

export function batch(lane: string, changes: readonly Change[]): Batch {
  return { lane, changes, dead: [], cursor: undefined, load: undefined }
}

export function full(name: string, at: string, data: EntityData | string, more?: Partial<Change>): Change {
  return change('full', name, at, typeof data === 'string' ? data : JSON.stringify(data), more)
}

export function partial(name: string, at: string, data: EntityData, more?: Partial<Change>): Change {
  return change('partial', name, at, JSON.stringify(data), { data, ...more })
}

export function gone(name: string, at: string): Change {
  return change('delete', name, at, '')
}

function change(
  kind: Change['kind'],
  name: string,
  at: string,
  json: string,
  more: Partial<Change> = {},
): Change {
  return {
    kind,
    id: name,
    at: id(at),
    json,
    utf8: kind === 'full' ? asBytes(name, json, id(at)) : undefined,
    data: undefined,
    fromLoad: false,
    ascending: false,
    receivedMs: 0,
    bytes: json.length,
    messages: 1,
    ...more,
  }
}

/** Every second one has its bytes at hand, as those do that came over a WebSocket. */
function asBytes(name: string, json: string, { seq }: StreamId): Utf8 | undefined {
  if (seq % 2 === 1) return undefined
  const memory = Buffer.from(`before${name}${json}behind`)
  const [idLength, jsonLength] = [Buffer.byteLength(name), Buffer.byteLength(json)]
  return { memory, at: 'before'.length, idLength, jsonLength }
}

export const hasCode =
  (code: ErrorCode) =>
  (error: unknown): boolean =>
    isSluiceError(error) && error.code === code

/** Looks again until it finds something, for at most half a minute. */
export async function eventually<T>(look: () => Promise<T | undefined>): Promise<T> {
  for (const until = Date.now() + 30_000; ;) {
    const found = await look()
    if (found !== undefined) return found
    if (Date.now() > until) throw new Error('it did not come')
    await delay(5)
  }
}
