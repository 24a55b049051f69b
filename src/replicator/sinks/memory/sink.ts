/** The sink in the memory of this process, for tests and trial: the same promises as on a server, and nothing survives. */
import type { Timer } from '../../../core/clock.ts'
import { SluiceError } from '../../../core/errors.ts'
import type {
  Applied,
  Batch,
  DeadLetter,
  LaneSpec,
  OpenOptions,
  PartContext,
  Sink,
  SinkFactory,
  SinkState,
  StreamId,
} from '../../contract.ts'
import { compareStreamIds, isAfter } from '../../stream-id.ts'
import { deadLetter, deadLetterKey } from '../dead-letter.ts'
import { applyChange, forget, sweep, type Outcome } from './changes.ts'
import { MemoryStore, type MemoryLane } from './store.ts'

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
    const outcome: Outcome = { applied: 0, skippedAsOlder: 0, dead: [], waiting: [] }
    const { maxEntity, tombstoneMs } = this.#settings
    const place = { lane, spec, load: batch.load, maxEntity, tombstoneMs, nowMs: this.#now() }
    for (const change of batch.changes) applyChange(place, change, outcome)
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
    sweep(lane, this.#now(), SWEEP)
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
      for (const [id, entity] of lane.entities) {
        if (entity.json === undefined) continue
        scanned += 1
        if (entity.mark === lane.mark || isAfter(entity.version, before)) continue
        removed += 1
        forget(lane, id, entity)
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

function stateOf(lanes: readonly MemoryLane[]): SinkState {
  const cursors = lanes.flatMap(({ cursor }) => (cursor === undefined ? [] : [cursor]))
  const ready = lanes[0]?.ready
  return {
    cursor: cursors.length < lanes.length ? undefined : cursors.sort(compareStreamIds)[0],
    load: lanes.every((lane) => lane.ready === ready) ? ready : undefined,
  }
}
