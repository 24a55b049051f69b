/**
 * Stores batches.
 *
 * A batch is one unit on the server (see units/apply.ts): all of it is stored, or nothing. Where the server refuses a unit
 * for good, for one of its entities, each is tried by itself, with the same fence and comparison; what is refused then is
 * kept as a dead letter, and the cursor follows last.
 */
import { waitOrAbort } from '../../../core/abort.ts'
import { hasCode, SluiceError, toError } from '../../../core/errors.ts'
import {
  DEAD_TEXT_LIMIT,
  type Applied,
  type Batch,
  type Change,
  type PartContext,
  type StreamId,
} from '../../contract.ts'
import { streamIdText } from '../../stream-id.ts'
import { deadLetter, deadLetterKey, type Buried } from '../dead-letter.ts'
import type { Lease } from './lease.ts'
import { Packers } from './packer.ts'
import type { Parcel } from './parcel.ts'
import { prepare, type Bases, type Limits, type Prepared } from './prepare.ts'
import type { Answer, Runner } from './runner.ts'

export interface WriterSettings {
  readonly runner: Runner
  readonly tombstoneMs: number
  readonly deadLetters: number
  readonly limits: Limits
  /** Each change by itself, always: for servers and proxies that refuse batches. */
  readonly singly: boolean
}

/** What became of the changes of a parcel; undefined where what is stored was not as it was read, and nothing was done. */
type Outcome =
  | {
      readonly applied: number
      readonly skipped: number
      /** The cursor and the dead letters are still to be stored. */
      readonly follow: boolean
    }
  | undefined

/** Prepares some changes of a batch once more. */
type Anew = (changes: readonly Change[]) => Prepared

/** How often a batch that met something new in the store is prepared again before it is given back. */
const PREPARE_LIMIT = 4
/** Single operations under way at once. */
const SINGLE_STEP = 64

export class Writer {
  readonly #context: PartContext
  readonly #settings: WriterSettings
  readonly #packers = new Packers()
  units = 0
  refusedUnits = 0

  constructor(context: PartContext, settings: WriterSettings) {
    this.#context = context
    this.#settings = settings
  }

  async apply(lease: Lease, batch: Batch, signal: AbortSignal): Promise<Applied> {
    for (let attempt = 1; ; attempt++) {
      let applied: Applied | undefined
      try {
        applied = await waitOrAbort(this.#apply(lease, batch, signal), signal)
      } catch (error) {
        // What is given up here is handed over again, perhaps in newer states, before this has arrived.
        if (signal.aborted) lease.doubt()
        throw error
      }
      if (applied !== undefined) return applied
      if (attempt === PREPARE_LIMIT) {
        throw new SluiceError('SLUICE_CONFLICT', `${batch.lane}: what is stored changes all the time`, {
          retryable: true,
        })
      }
    }
  }

  /** Undefined where a partial met something new in the store: nothing was done. */
  async #apply(lease: Lease, batch: Batch, signal: AbortSignal): Promise<Applied | undefined> {
    const bases = await this.#bases(lease, batch)
    signal.throwIfAborted()
    const anew = (changes: readonly Change[]): Prepared =>
      prepare({ ...batch, changes }, lease, bases, this.#settings.limits, this.#packers)
    const { parcels, buried, waiting, skipped } = anew(batch.changes)
    // What waits was not stored, so the cursor must not pass it.
    const cursor = waiting.length > 0 ? undefined : batch.cursor
    const outcome = { applied: 0, skippedAsOlder: skipped }
    for (const [at, parcel] of parcels.entries()) {
      signal.throwIfAborted()
      const isLast = at === parcels.length - 1
      const stored = this.#settings.singly
        ? await this.#singly(lease, parcel, anew, buried, signal)
        : await this.#unit(
            lease,
            parcel,
            isLast ? cursor : undefined,
            isLast ? this.#letters(batch, buried) : [],
          ).catch((error: unknown) => this.#refused(lease, parcel, anew, buried, signal, error))
      if (stored === undefined) return undefined
      outcome.applied += stored.applied
      outcome.skippedAsOlder += stored.skipped
      if (isLast && stored.follow) {
        signal.throwIfAborted()
        await this.#unit(lease, undefined, cursor, this.#letters(batch, buried))
      }
    }
    return { ...outcome, dead: buried, waiting }
  }

  async #bases({ base }: Lease, { changes }: Batch): Promise<Bases | undefined> {
    const { runner, limits } = this.#settings
    const ids: string[] = []
    // The id of others may have to be made first.
    for (const change of changes) if (change.kind === 'partial') ids.push(change.id)
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
    parcel: Parcel | undefined,
    cursor: StreamId | undefined,
    letters: readonly string[],
  ): Promise<Outcome> {
    const { tombstoneMs, deadLetters } = this.#settings
    const { ttlMs, lookups } = lease.lane
    this.units += 1
    const lists = parcel === undefined || parcel.count === 0 ? ['', ''] : parcel.pack()
    const answer: Answer = await lease.run('apply', [
      cursor === undefined ? '' : streamIdText(cursor),
      String(ttlMs),
      String(tombstoneMs),
      lookups === undefined ? '0' : '1',
      parcel?.mark ?? lease.mark,
      parcel?.highest ?? '',
      parcel?.conditions ?? '',
      ...lists,
      String(deadLetters),
      ...letters,
    ])
    // After an error it may not have left yet, and is not written to again.
    parcel?.release()
    if (answer[0] === -6) lease.mark = String(answer[1])
    if (Number(answer[0]) < 0) return undefined
    return { applied: Number(answer[1]), skipped: Number(answer[2]), follow: false }
  }

  /** The server said no to a unit, and would again. One of its entities may be why: then the others go alone. */
  async #refused(
    lease: Lease,
    parcel: Parcel,
    anew: Anew,
    buried: Buried[],
    signal: AbortSignal,
    error: unknown,
  ): Promise<Outcome> {
    if (!hasCode(error, 'SLUICE_QUERY') || parcel.count === 0) throw error
    this.refusedUnits += 1
    // Where a unit without entities is refused too, it is not for them.
    await this.#unit(lease, undefined, undefined, [])
    this.#context.log.warn(
      { err: toError(error), lane: lease.lane.name, entities: parcel.count },
      `${this.#context.name}: a batch was refused; its entities are stored one by one`,
    )
    return this.#singly(lease, parcel, anew, buried, signal)
  }

  /** One unit an entity, without the cursor. */
  async #singly(
    lease: Lease,
    { changes }: Parcel,
    anew: Anew,
    buried: Buried[],
    signal: AbortSignal,
  ): Promise<Outcome> {
    const stored = { applied: 0, skipped: 0, follow: true }
    for (let at = 0; at < changes.length; at += SINGLE_STEP) {
      signal.throwIfAborted()
      const some = changes.slice(at, at + SINGLE_STEP)
      const settled = await Promise.allSettled(
        some.map((change) => this.#unit(lease, anew([change]).parcels[0], undefined, [])),
      )
      let isNew = false
      for (const [index, result] of settled.entries()) {
        if (result.status === 'rejected') {
          if (!hasCode(result.reason, 'SLUICE_QUERY')) throw toError(result.reason)
          const detail = 'the server refuses it'
          buried.push({ change: some[index]!, reason: 'refused', detail })
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

  /** Key, time and text of each dead letter of a batch. */
  #letters(batch: Batch, buried: readonly Buried[]): readonly string[] {
    if (batch.dead.length === 0 && buried.length === 0) return []
    const nowMs = this.#context.clock.now()
    const all = [...batch.dead, ...buried.map((one) => deadLetter(batch.lane, one, nowMs))]
    return all.flatMap((letter) => [
      deadLetterKey(letter),
      String(letter.timeMs),
      JSON.stringify({ ...letter, text: letter.text.slice(0, DEAD_TEXT_LIMIT) }),
    ])
  }
}
