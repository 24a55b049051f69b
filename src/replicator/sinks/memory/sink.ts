/** The sink in the memory of this process, for tests and trial: the same promises as on a server, and nothing survives. */
import type { Timer } from '../../../core/clock.ts'
import { SluiceError } from '../../../core/errors.ts'
import type {
  Applied,
  Batch,
  Change,
  DeadLetter,
  EntityData,
  LaneSpec,
  OpenOptions,
  PartContext,
  Sink,
  SinkFactory,
  SinkState,
  StreamId,
} from '../../contract.ts'
import { mergePartial } from '../../merge.ts'
import { compareStreamIds, isAfter } from '../../stream-id.ts'
import { deadLetter, deadLetterKey, type Buried } from '../dead-letter.ts'
import { otherNames } from '../other-names.ts'
import { MemoryStore, type MemoryEntity, type MemoryLane } from './store.ts'

export interface MemorySinkOptions {
  /** Where it is kept. @default a store of its own */
  readonly store?: MemoryStore
  /** How long another writer waits before it takes over from one that is silent, in milliseconds. @default 10000 */
  readonly leaseMs?: number
  /** How long a deleted id is remembered, in milliseconds. @default a day */
  readonly tombstoneMs?: number
  /** Entities of a lane at most, deleted ones included; more reject with SLUICE_OVERLOADED. @default 1000000 */
  readonly maxEntities?: number
  /** Dead letters kept for each lane. @default 1000 */
  readonly deadLetters?: number
  /** Characters of one entity at most. @default 8388608 */
  readonly maxEntity?: number
}

const DEFAULTS = {
  leaseMs: 10_000,
  tombstoneMs: 86_400_000,
  maxEntities: 1_000_000,
  deadLetters: 1_000,
  maxEntity: 8 * 1_024 * 1_024,
} as const
const ASK_AGAIN_MS = 250
/** Entities looked at, at each batch, for those whose time is over. */
const SWEEP = 16

/** A sink that keeps entities in memory. */
export function memorySink(options: MemorySinkOptions = {}): SinkFactory {
  const settings = { ...DEFAULTS, store: new MemoryStore(), ...options }
  return (context) => new MemorySink(context, settings)
}

interface Session {
  readonly owner: string
  readonly tokens: Map<string, number>
  readonly onLost: (error: Error) => void
  lost: SluiceError | undefined
  renewal: Timer | undefined
}

class MemorySink implements Sink {
  readonly kind = 'memory'
  readonly readsData: boolean
  readonly #context: PartContext
  readonly #settings: Required<MemorySinkOptions>
  readonly #lanes: ReadonlyMap<string, LaneSpec>
  #session: Session | undefined

  constructor(context: PartContext, settings: Required<MemorySinkOptions>) {
    this.#context = context
    this.#settings = settings
    this.#lanes = new Map(context.lanes.map((lane) => [lane.name, lane]))
    this.readsData = context.lanes.some(({ lookups }) => lookups !== undefined)
  }

  async open({ lanes, onLost, onWaiting, signal }: OpenOptions): Promise<SinkState> {
    this.#end()
    signal.throwIfAborted()
    const { clock, random } = this.#context
    const owner = `${this.#context.appName}:${random()}:${clock.monotonic()}`
    const session: Session = { owner, tokens: new Map(), onLost, lost: undefined, renewal: undefined }
    this.#session = session
    const stored: MemoryLane[] = []
    try {
      this.#renewLater(session)
      for (const name of [...lanes].sort()) {
        if (!this.#lanes.has(name))
          throw new SluiceError('SLUICE_INVALID_ARGUMENT', `lane: "${name}" is unknown`)
        for (;;) {
          const lane = this.#settings.store.lane(name)
          const left = lane.owner === '' ? 0 : lane.leasedUntilMs - clock.now()
          if (left <= 0) break
          onWaiting()
          await clock.sleep(Math.min(left, ASK_AGAIN_MS), { signal })
        }
        const lane = this.#settings.store.lane(name)
        lane.owner = owner
        lane.token = Math.max(lane.token + 1, clock.now() * 1_000)
        lane.leasedUntilMs = clock.now() + this.#settings.leaseMs
        session.tokens.set(name, lane.token)
        stored.push(lane)
      }
    } catch (error) {
      this.#end()
      throw error
    }
    return stateOf(stored)
  }

  async apply(batch: Batch, signal: AbortSignal): Promise<Applied> {
    signal.throwIfAborted()
    const lane = this.#fenced(batch.lane)
    const spec = this.#lanes.get(batch.lane)!
    if (lane.entities.size + batch.changes.length > this.#settings.maxEntities) {
      throw new SluiceError('SLUICE_OVERLOADED', `${batch.lane}: the memory sink holds its limit`, {
        retryable: true,
      })
    }
    const outcome = { applied: 0, skippedAsOlder: 0, dead: [] as Buried[], waiting: [] as Change[] }
    for (const change of batch.changes) this.#change(lane, spec, change, batch, outcome)
    for (const letter of [
      ...batch.dead,
      ...outcome.dead.map((one) => deadLetter(batch.lane, one, this.#now())),
    ]) {
      lane.dead.set(deadLetterKey(letter), letter)
    }
    for (const key of lane.dead.keys()) {
      if (lane.dead.size <= this.#settings.deadLetters) break
      lane.dead.delete(key)
    }
    const { cursor } = batch
    if (cursor !== undefined && outcome.waiting.length === 0) {
      if (lane.cursor === undefined || isAfter(cursor, lane.cursor)) lane.cursor = cursor
    }
    this.#sweep(lane)
    return outcome
  }

  async beginLoad(load: string, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    for (const name of this.#open().tokens.keys()) {
      const lane = this.#fenced(name)
      lane.ready = undefined
      if (lane.load !== load) lane.mark += 1
      lane.load = load
    }
  }

  async finishLoad(
    load: string,
    before: StreamId,
    { signal, progress }: { readonly signal: AbortSignal; readonly progress: (scanned: number) => void },
  ): Promise<{ readonly removed: number }> {
    signal.throwIfAborted()
    let removed = 0
    let scanned = 0
    const lanes = [...this.#open().tokens.keys()].map((name) => this.#fenced(name))
    if (lanes.some((lane) => lane.load !== load))
      throw new SluiceError('SLUICE_CONFLICT', `the load "${load}" is not the one that is under way`)
    for (const lane of lanes) {
      for (const [id, { json, mark, version, names }] of lane.entities) {
        if (json === undefined) continue
        scanned += 1
        if (mark === lane.mark || isAfter(version, before)) continue
        removed += 1
        lane.entities.delete(id)
        for (const name of listed(names)) if (lane.lookups.get(name) === id) lane.lookups.delete(name)
      }
      progress(scanned)
    }
    for (const lane of lanes) lane.ready = load
    return { removed }
  }

  async check(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    for (const name of this.#open().tokens.keys()) this.#fenced(name)
  }

  async deadLetters(limit: number, signal: AbortSignal): Promise<readonly DeadLetter[]> {
    signal.throwIfAborted()
    return [...this.#lanes.keys()]
      .flatMap((name) => [...this.#settings.store.lane(name).dead.values()])
      .sort((a, b) => b.timeMs - a.timeMs)
      .slice(0, limit)
  }

  async close(): Promise<void> {
    this.#end()
  }

  inspect(): Readonly<Record<string, unknown>> {
    return { held: [...(this.#session?.tokens.keys() ?? [])] }
  }

  #change(
    lane: MemoryLane,
    spec: LaneSpec,
    change: Change,
    batch: Batch,
    outcome: { applied: number; skippedAsOlder: number; dead: Buried[]; waiting: Change[] },
  ): void {
    const stored = this.#living(lane, change.id)
    const order = stored === undefined ? 1 : compareStreamIds(change.at, stored.version)
    if (order < 0 || (order === 0 && !(change.fromLoad && change.kind !== 'partial'))) {
      outcome.skippedAsOlder += 1
      // The load has it too, so that it belongs to the load in its newer state.
      if (change.fromLoad && stored?.json !== undefined) {
        lane.entities.set(change.id, { ...stored, mark: lane.mark })
      }
      return
    }
    let { json, data } = change
    if (change.kind === 'partial') {
      const isBase = stored?.json !== undefined && (batch.load === undefined || stored.mark === lane.mark)
      if (!isBase) {
        if (batch.load !== undefined) outcome.waiting.push(change)
        else outcome.dead.push({ change, reason: 'no-base', detail: 'there is nothing to merge it into' })
        return
      }
      data = mergePartial(JSON.parse(stored.json!) as EntityData, data ?? (JSON.parse(json) as EntityData))
      json = JSON.stringify(data)
    }
    if (json.length > this.#settings.maxEntity) {
      const detail = `it has ${json.length} characters, at most ${this.#settings.maxEntity} are stored`
      outcome.dead.push({ change, reason: 'too-large', detail })
      return
    }
    const isGone = change.kind === 'delete'
    const names = isGone || spec.lookups === undefined ? '' : otherNames(spec.lookups, data, json)
    if (typeof names !== 'string') {
      outcome.dead.push({ change, reason: 'refused', detail: names.detail })
      return
    }
    outcome.applied += 1
    const livesMs = isGone ? this.#settings.tombstoneMs : spec.ttlMs === 0 ? Infinity : spec.ttlMs
    lane.entities.set(change.id, {
      version: change.at,
      json: isGone ? undefined : json,
      mark: lane.mark,
      names,
      untilMs: this.#now() + livesMs,
    })
    point(lane, change.id, stored?.names ?? '', names, change.at)
  }

  /** What is stored, unless its time is over. */
  #living(lane: MemoryLane, id: string): MemoryEntity | undefined {
    const stored = lane.entities.get(id)
    if (stored === undefined || stored.untilMs > this.#now()) return stored
    forget(lane, id, stored)
    return undefined
  }

  /** A few at a time, from the oldest on; those that stay go to the end. */
  #sweep(lane: MemoryLane): void {
    let left = SWEEP
    for (const [id, entity] of lane.entities) {
      if (left-- === 0) return
      lane.entities.delete(id)
      if (entity.untilMs <= this.#now()) forget(lane, id, entity)
      else lane.entities.set(id, entity)
    }
  }

  #renewLater(session: Session): void {
    const { clock } = this.#context
    session.renewal = clock.setTimer(
      () => {
        try {
          for (const name of session.tokens.keys()) this.#fenced(name)
          this.#renewLater(session)
        } catch {
          // It is lost, and was reported.
        }
      },
      this.#settings.leaseMs / 3,
      { keepAlive: false },
    )
  }

  #end(): void {
    const session = this.#session
    this.#session = undefined
    session?.renewal?.cancel()
    for (const [name, token] of session?.tokens ?? []) {
      const lane = this.#settings.store.lane(name)
      if (lane.token !== token) continue
      lane.token += 1
      lane.owner = ''
    }
  }

  /** The lane, if this session may write it. Renews the lease. */
  #fenced(name: string): MemoryLane {
    const session = this.#open()
    if (session.lost !== undefined) throw session.lost
    const token = session.tokens.get(name)
    if (token === undefined)
      throw new SluiceError('SLUICE_INVALID_ARGUMENT', `lane: "${name}" was not opened`)
    const lane = this.#settings.store.lane(name)
    if (lane.token !== token) {
      const why = lane.token === 0 ? 'the store was emptied' : 'another writer has taken over'
      session.lost = new SluiceError(
        'SLUICE_LEASE_LOST',
        `the right to write the lane "${name}" is gone: ${why}`,
      )
      session.renewal?.cancel()
      session.onLost(session.lost)
      throw session.lost
    }
    lane.leasedUntilMs = this.#now() + this.#settings.leaseMs
    return lane
  }

  #open(): Session {
    if (this.#session !== undefined) return this.#session
    throw new SluiceError('SLUICE_NOT_READY', `${this.#context.name}: the sink is not open`, {
      retryable: true,
    })
  }

  #now(): number {
    return this.#context.clock.now()
  }
}

const listed = (names: string): readonly string[] => names.split('\0').slice(1)

function forget(lane: MemoryLane, id: string, { names }: MemoryEntity): void {
  lane.entities.delete(id)
  for (const name of listed(names)) if (lane.lookups.get(name) === id) lane.lookups.delete(name)
}

/** Lets the other names of an entity lead to it, and those it has no longer nowhere. */
function point(lane: MemoryLane, id: string, before: string, names: string, at: StreamId): void {
  const now = new Set(listed(names))
  for (const name of listed(before)) {
    if (!now.has(name) && lane.lookups.get(name) === id) lane.lookups.delete(name)
  }
  if (before === names) return
  for (const name of now) {
    const owner = lane.lookups.get(name)
    const theirs = owner === undefined || owner === id ? undefined : lane.entities.get(owner)
    // A name belongs to the newest of those who claim it.
    const isTheirs =
      theirs !== undefined && !isAfter(at, theirs.version) && listed(theirs.names).includes(name)
    if (!isTheirs) lane.lookups.set(name, id)
  }
}

function stateOf(lanes: readonly MemoryLane[]): SinkState {
  const cursors = lanes.flatMap(({ cursor }) => (cursor === undefined ? [] : [cursor]))
  const ready = lanes[0]?.ready
  return {
    cursor: cursors.length < lanes.length ? undefined : cursors.sort(compareStreamIds)[0],
    highest: undefined,
    load: lanes.every((lane) => lane.ready === ready) ? ready : undefined,
  }
}
