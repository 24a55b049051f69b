/**
 * What of a batch is written, and how: partials are merged here, not in the script. Lua's JSON makes `{}` of an empty
 * list and rounds what it does not know, while Node gives back what it read; the unit then only compares what is stored
 * with what was read. Nobody else writes while the lease is held, so that the comparison fails only where the store lost
 * something in between; the batch is then prepared anew.
 */
import type { Applied, Batch, Change, EntityData } from '../../contract.ts'
import { mergePartial } from '../../merge.ts'
import type { Buried } from '../dead-letter.ts'
import { otherNames } from '../other-names.ts'
import type { Lease } from './lease.ts'
import { orderKey } from './order-key.ts'
import type { Packers } from './packer.ts'
import { Parcel, type Condition } from './parcel.ts'

/** What was stored for the partials of a batch. */
export interface Bases {
  /** Of the load that is under way, or the last one. */
  readonly mark: string
  /** By id: what `meta` has and the entity; null for what is not there. */
  readonly found: ReadonlyMap<string, { readonly meta: string | null; readonly json: string | null }>
}

export interface Prepared {
  /** One at least. */
  readonly parcels: readonly Parcel[]
  readonly buried: Buried[]
  readonly waiting: Change[]
  skipped: number
}

export interface Limits {
  /** Changes in one unit. */
  readonly changes: number
  /** Characters in one unit. */
  readonly size: number
  /** Characters of one entity. */
  readonly entity: number
}

/** Rejects nothing: what cannot be applied is buried. */
export function prepare(
  batch: Batch,
  lease: Lease,
  bases: Bases | undefined,
  limits: Limits,
  packers: Packers,
): Prepared & Pick<Applied, 'waiting'> {
  const options = { packers, entity: lease.entityKey, mark: lease.mark }
  let parcel = new Parcel(options)
  const { lookups } = lease.lane
  const prepared = { parcels: [parcel], buried: [] as Buried[], waiting: [] as Change[], skipped: 0 }
  for (const change of batch.changes) {
    if (change.kind === 'full') full(change)
    else if (change.kind === 'delete') room(0).delete(change, fresh(change))
    else merge(change)
  }
  return prepared

  function full(change: Change): void {
    const { utf8 } = change
    // A character takes a byte at least.
    if (utf8 === undefined || lookups !== undefined || utf8.jsonLength > limits.entity)
      store(change, change.json, change.data, fresh(change))
    else room(utf8.jsonLength).storeBytes(change, utf8, fresh(change))
  }

  /** What the writer knows to be new is not compared with what is stored. */
  function fresh(change: Change): Condition {
    if (change.ascending && lease.isNew(change.at)) return 'u'
    return change.fromLoad ? 's' : 'n'
  }

  /** The parcel that takes so many characters more. */
  function room(size: number): Parcel {
    if (parcel.count >= limits.changes || (parcel.count > 0 && parcel.size + size > limits.size)) {
      parcel = new Parcel(options)
      prepared.parcels.push(parcel)
    }
    return parcel
  }

  function store(
    change: Change,
    value: string,
    data: EntityData | undefined,
    condition: Condition,
    from?: string,
  ): void {
    if (value.length > limits.entity) {
      const detail = `it has ${value.length} characters, at most ${limits.entity} are stored`
      prepared.buried.push({ change, reason: 'too-large', detail })
      return
    }
    const names = lookups === undefined ? '' : otherNames(lookups, data, value)
    if (typeof names === 'string') room(value.length).store(change, value, names, condition, from)
    else prepared.buried.push({ change, reason: 'refused', detail: names.detail })
  }

  function merge(change: Change): void {
    const stored = bases?.found.get(change.id)
    const [, version, sign, mark] = /^([A-P]\d+[A-P]\d+)([+-])(\d+)/.exec(stored?.meta ?? '') ?? []
    if (version !== undefined && version >= orderKey(change.at)) {
      prepared.skipped += 1
      return
    }
    const isOfLoad = batch.load === undefined || mark === bases?.mark
    const json = sign === '+' && isOfLoad ? (stored?.json ?? undefined) : undefined
    if (json === undefined) {
      if (batch.load !== undefined) prepared.waiting.push(change)
      else prepared.buried.push({ change, reason: 'no-base', detail: 'there is nothing to merge it into' })
      return
    }
    const base = parseObject(json)
    const partial = change.data ?? parseObject(change.json)
    if (base === undefined || partial === undefined) {
      const detail = base === undefined ? 'what is stored is no JSON object' : 'it is no JSON object'
      prepared.buried.push({ change, reason: 'refused', detail })
      return
    }
    const data = mergePartial(base, partial)
    store(change, JSON.stringify(data), data, 'c', stored?.meta ?? '')
  }
}

function parseObject(json: string): EntityData | undefined {
  try {
    const value: unknown = JSON.parse(json)
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as EntityData)
      : undefined
  } catch {
    return undefined
  }
}
