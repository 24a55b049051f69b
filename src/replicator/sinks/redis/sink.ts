/**
 * The sink on Redis.
 *
 * A batch is one unit on the server (see units.ts): all of it is stored, or nothing. Where the server refuses a unit for
 * good, for one of its entities, each is tried by itself, with the same fence and comparison; what is refused then is
 * kept as a dead letter, and the cursor follows last.
 */
import { randomUUID } from 'node:crypto'
import { waitOrAbort } from '../../../core/abort.ts'
import type { Timer } from '../../../core/clock.ts'
import { hasCode, SluiceError, toError } from '../../../core/errors.ts'
import {
  DEAD_TEXT_LIMIT,
  type Applied,
  type Batch,
  type DeadLetter,
  type LaneSpec,
  type OpenOptions,
  type PartContext,
  type Sink,
  type SinkState,
  type StreamId,
} from '../../contract.ts'
import { compareStreamIds, streamIdText } from '../../stream-id.ts'
import { deadLetter, deadLetterKey, type Buried } from '../dead-letter.ts'
import { Columns } from './columns.ts'
import type { ReplicaKeys } from './keys.ts'
import { Lease, type LaneState } from './lease.ts'
import { orderKey } from './order-key.ts'
import { prepare, type Bases, type Limits } from './prepare.ts'
import type { Answer, Runner } from './runner.ts'

export interface RedisSinkSettings {
  readonly runner: Runner
  readonly keys: ReplicaKeys
  readonly leaseMs: number
  readonly tombstoneMs: number
  readonly deadLetters: number
  readonly limits: Limits
  /** Each change by itself, always: for servers and proxies that refuse batches. */
  readonly singly: boolean
}

interface Session {
  readonly leases: Map<string, Lease>
  readonly ended: AbortController
  renewal: Timer | undefined
}

/** How often a batch whose partials met something new in the store is prepared again before it is given back. */
const PREPARE_LIMIT = 4
/** How soon a lease that another holds is asked for again, at most. */
const ASK_AGAIN_MS = 250
/** Entities looked at in one step of the removal after a load. */
const PRUNE_STEP = 500
/** Single operations under way at once. */
const SINGLE_STEP = 64

export class RedisSink implements Sink {
  readonly kind = 'redis'
  readonly readsData: boolean
  readonly #context: PartContext
  readonly #settings: RedisSinkSettings
  readonly #lanes: ReadonlyMap<string, LaneSpec>
  #session: Session | undefined
  #units = 0
  #refusedUnits = 0

  constructor(context: PartContext, settings: RedisSinkSettings) {
    this.#context = context
    this.#settings = settings
    this.#lanes = new Map(context.lanes.map((lane) => [lane.name, lane]))
    this.readsData = context.lanes.some(({ lookups }) => lookups !== undefined)
  }

  async open({ lanes, onLost, onWaiting, signal }: OpenOptions): Promise<SinkState> {
    await this.#end()
    signal.throwIfAborted()
    await waitOrAbort(this.#settings.runner.prepare(), signal)
    const session: Session = { leases: new Map(), ended: new AbortController(), renewal: undefined }
    const lost = (error: SluiceError): void => {
      if (session.ended.signal.aborted) return
      stop(session)
      onLost(error)
    }
    const owner = `${this.#context.appName}:${process.pid}:${randomUUID()}`
    const states: LaneState[] = []
    this.#session = session
    try {
      this.#renewLater(session)
      // In one order everywhere, so that two who wait for each other's lanes cannot be.
      for (const name of [...lanes].sort()) {
        const lease = new Lease({
          runner: this.#settings.runner,
          lane: this.#lane(name),
          base: this.#settings.keys.base(name),
          owner,
          leaseMs: this.#settings.leaseMs,
          onLost: lost,
        })
        try {
          states.push(await this.#acquire(lease, onWaiting, signal))
        } catch (error) {
          // It may be ours without an answer, and a successor would wait for it.
          await lease.release().catch(() => undefined)
          throw error
        }
        session.leases.set(name, lease)
      }
      session.ended.signal.throwIfAborted()
    } catch (error) {
      await this.#end()
      throw error
    }
    return stateOf(states)
  }

  async apply(batch: Batch, signal: AbortSignal): Promise<Applied> {
    signal.throwIfAborted()
    const lease = this.#lease(batch.lane)
    for (let attempt = 1; ; attempt++) {
      const applied = await waitOrAbort(this.#apply(lease, batch), signal)
      if (applied !== undefined) return applied
      if (attempt === PREPARE_LIMIT) {
        throw new SluiceError('SLUICE_CONFLICT', `${batch.lane}: what is stored changes all the time`, {
          retryable: true,
        })
      }
    }
  }

  async beginLoad(load: string, signal: AbortSignal): Promise<void> {
    await this.#each(signal, (lease) => lease.run('begin_load', [load]))
  }

  async finishLoad(
    load: string,
    before: StreamId,
    { signal, progress }: { readonly signal: AbortSignal; readonly progress: (scanned: number) => void },
  ): Promise<{ readonly removed: number }> {
    let scanned = 0
    let removed = 0
    await this.#each(signal, async (lease) => {
      for (let position = '0'; ;) {
        const args = [load, position, orderKey(before), String(PRUNE_STEP)]
        const answer = ofLoad(await waitOrAbort(lease.run('prune', args), signal), load)
        position = String(answer[1])
        removed += Number(answer[3])
        progress((scanned += Number(answer[2])))
        if (position === '0') return
      }
    })
    // Only when every lane is through: the marker says so of all of them.
    await this.#each(signal, async (lease) => void ofLoad(await lease.run('finish_load', [load]), load))
    return { removed }
  }

  async check(signal: AbortSignal): Promise<void> {
    await this.#each(signal, (lease) => lease.run('check', []))
  }

  async deadLetters(limit: number, signal: AbortSignal): Promise<readonly DeadLetter[]> {
    const { runner, keys } = this.#settings
    const lists = await waitOrAbort(
      Promise.all(
        [...this.#lanes.keys()].map((lane) => runner.run('dead_letters', keys.base(lane), [String(limit)])),
      ),
      signal,
    )
    return lists
      .flat()
      .filter((text) => typeof text === 'string')
      .map((text) => JSON.parse(text) as DeadLetter)
      .sort((a, b) => b.timeMs - a.timeMs)
      .slice(0, limit)
  }

  async close(signal: AbortSignal): Promise<void> {
    await waitOrAbort(this.#end(), signal).catch(() => undefined)
  }

  inspect(): Readonly<Record<string, unknown>> {
    return {
      runs: this.#settings.singly ? 'single' : this.#settings.runner.mode,
      held: [...(this.#session?.leases.keys() ?? [])],
      units: this.#units,
      refusedUnits: this.#refusedUnits,
    }
  }

  /** Undefined where a partial met something new in the store: nothing was done. */
  async #apply(lease: Lease, batch: Batch): Promise<Applied | undefined> {
    const { limits } = this.#settings
    const bases = await this.#bases(lease, batch)
    const { columns, buried, waiting, skipped } = prepare(batch, lease.lane, bases, limits)
    // What waits was not stored, so the cursor must not pass it.
    const cursor = waiting.length > 0 ? undefined : batch.cursor
    const outcome = { applied: 0, skippedAsOlder: skipped }
    for (const [at, some] of columns.entries()) {
      const isLast = at === columns.length - 1
      const answer = this.#settings.singly
        ? await this.#singly(lease, some, buried)
        : await this.#unit(
            lease,
            some,
            isLast ? cursor : undefined,
            isLast ? letters(batch, buried, this.#now()) : [],
          ).catch((error: unknown) => this.#refused(lease, some, buried, error))
      if (answer === undefined) return undefined
      outcome.applied += answer.applied
      outcome.skippedAsOlder += answer.skipped
      if (isLast && answer.follow) {
        await this.#unit(lease, new Columns(), cursor, letters(batch, buried, this.#now()))
      }
    }
    return { ...outcome, dead: buried, waiting }
  }

  async #bases({ base }: Lease, { changes }: Batch): Promise<Bases | undefined> {
    const { runner, limits } = this.#settings
    const ids = changes.flatMap(({ kind, id }) => (kind === 'partial' ? [id] : []))
    if (ids.length === 0) return undefined
    const found = new Map<string, { meta: string | null; json: string | null }>()
    let mark = '0'
    for (let at = 0; at < ids.length; at += limits.changes) {
      const some = ids.slice(at, at + limits.changes)
      const [of, metas, entities] = (await runner.run('read', base, some)) as [
        string,
        readonly (string | null)[],
        readonly (string | null)[],
      ]
      mark = of
      for (const [index, id] of some.entries()) {
        found.set(id, { meta: metas[index] ?? null, json: entities[index] ?? null })
      }
    }
    return { mark, found }
  }

  async #unit(
    lease: Lease,
    columns: Columns,
    cursor: StreamId | undefined,
    dead: readonly string[],
  ): Promise<Stored | undefined> {
    const { tombstoneMs, deadLetters } = this.#settings
    const { ttlMs, lookups } = lease.lane
    this.#units += 1
    const answer = await lease.run('apply', [
      cursor === undefined ? '' : streamIdText(cursor),
      String(ttlMs),
      String(tombstoneMs),
      ...columns.args(lookups !== undefined, dead, deadLetters),
    ])
    if (answer[0] === -5) return undefined
    return { applied: Number(answer[1]), skipped: Number(answer[2]), follow: false }
  }

  /** The server said no to a unit, and would again. One of its entities may be why: then the others go alone. */
  async #refused(
    lease: Lease,
    columns: Columns,
    buried: Buried[],
    error: unknown,
  ): Promise<Stored | undefined> {
    if (!hasCode(error, 'SLUICE_QUERY') || columns.count === 0) throw error
    this.#refusedUnits += 1
    // Where a unit without entities is refused too, it is not for them.
    await this.#unit(lease, new Columns(), undefined, [])
    this.#context.log.warn(
      { err: toError(error), lane: lease.lane.name, entities: columns.count },
      `${this.#context.name}: a batch was refused; its entities are stored one by one`,
    )
    return this.#singly(lease, columns, buried)
  }

  /** One unit an entity, without the cursor. */
  async #singly(lease: Lease, columns: Columns, buried: Buried[]): Promise<Stored | undefined> {
    const stored = { applied: 0, skipped: 0, follow: true }
    const all = [...columns.singly()]
    for (let at = 0; at < all.length; at += SINGLE_STEP) {
      const some = all.slice(at, at + SINGLE_STEP)
      const settled = await Promise.allSettled(some.map((one) => this.#unit(lease, one, undefined, [])))
      let isNew = false
      for (const [index, result] of settled.entries()) {
        if (result.status === 'rejected') {
          if (!hasCode(result.reason, 'SLUICE_QUERY')) throw toError(result.reason)
          const detail = 'the server refuses it'
          buried.push({ change: some[index]!.changes[0]!, reason: 'refused', detail })
        } else if (result.value === undefined) isNew = true
        else {
          stored.applied += result.value.applied
          stored.skipped += result.value.skipped
        }
      }
      if (isNew) return undefined
    }
    return stored
  }

  async #acquire(lease: Lease, onWaiting: () => void, signal: AbortSignal): Promise<LaneState> {
    const { clock, random } = this.#context
    for (;;) {
      const state = await waitOrAbort(lease.acquire(), signal)
      if (typeof state !== 'number') return state
      onWaiting()
      const wait = Math.min(Math.max(state, 10), ASK_AGAIN_MS) * (0.5 + random() / 2)
      await clock.sleep(wait, { signal })
    }
  }

  #renewLater(session: Session): void {
    const { clock } = this.#context
    session.renewal = clock.setTimer(
      () => {
        const renewals = [...session.leases.values()].map((lease) => lease.run('renew', []))
        void Promise.allSettled(renewals).then(() => {
          if (!session.ended.signal.aborted) this.#renewLater(session)
        })
      },
      this.#settings.leaseMs / 3,
      { keepAlive: false },
    )
  }

  async #end(): Promise<void> {
    const session = this.#session
    if (session === undefined) return
    this.#session = undefined
    stop(session)
    await Promise.allSettled([...session.leases.values()].map((lease) => lease.release()))
  }

  async #each(signal: AbortSignal, work: (lease: Lease) => Promise<unknown>): Promise<void> {
    signal.throwIfAborted()
    const { leases } = this.#open()
    await waitOrAbort(Promise.all([...leases.values()].map(work)), signal)
  }

  #lease(lane: string): Lease {
    const lease = this.#open().leases.get(lane)
    if (lease !== undefined) return lease
    throw new SluiceError('SLUICE_INVALID_ARGUMENT', `lane: "${lane}" was not opened`)
  }

  #open(): Session {
    if (this.#session !== undefined) return this.#session
    throw new SluiceError('SLUICE_NOT_READY', `${this.#context.name}: the sink is not open`, {
      retryable: true,
    })
  }

  #lane(name: string): LaneSpec {
    const lane = this.#lanes.get(name)
    if (lane !== undefined) return lane
    throw new SluiceError('SLUICE_INVALID_ARGUMENT', `lane: expected ${[...this.#lanes.keys()].join(', ')}`)
  }

  #now(): number {
    return this.#context.clock.now()
  }
}

interface Stored {
  readonly applied: number
  readonly skipped: number
  /** The cursor and the dead letters are still to be stored. */
  readonly follow: boolean
}

function stop(session: Session): void {
  session.ended.abort(new SluiceError('SLUICE_CLOSED', 'the session is over'))
  session.renewal?.cancel()
}

/** Key, time and text of each dead letter of a batch. */
function letters(batch: Batch, buried: readonly Buried[], nowMs: number): readonly string[] {
  if (batch.dead.length === 0 && buried.length === 0) return []
  const all = [...batch.dead, ...buried.map((one) => deadLetter(batch.lane, one, nowMs))]
  return all.flatMap((letter) => [
    deadLetterKey(letter),
    String(letter.timeMs),
    JSON.stringify({ ...letter, text: letter.text.slice(0, DEAD_TEXT_LIMIT) }),
  ])
}

function stateOf(states: readonly LaneState[]): SinkState {
  const [first] = states
  const cursors = states.flatMap(({ cursor }) => (cursor === undefined ? [] : [cursor]))
  return {
    cursor: cursors.length < states.length ? undefined : cursors.sort(compareStreamIds)[0],
    // Every unit compares, so that nobody needs to know.
    highest: undefined,
    load: states.every(({ ready }) => ready === first?.ready) ? first?.ready : undefined,
  }
}

function ofLoad(answer: Answer, load: string): Answer {
  if (answer[0] !== -5) return answer
  throw new SluiceError('SLUICE_CONFLICT', `the load "${load}" is not the one that is under way`)
}
