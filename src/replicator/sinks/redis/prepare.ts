/**
 * What of a batch is written, and how: partials are merged here, not in the script. Lua's JSON makes `{}` of an empty
 * list and rounds what it does not know, while Node gives back what it read; the unit then only compares what is stored
 * with what was read. Nobody else writes while the lease is held, so that the comparison fails only where the store lost
 * something in between; the batch is then prepared anew.
 */
import type { Applied, Batch, Change, EntityData, LaneSpec } from '../../contract.ts'
import { mergePartial } from '../../merge.ts'
import type { Buried } from '../dead-letter.ts'
import { otherNames } from '../other-names.ts'
import { Columns } from './columns.ts'
import { orderKey } from './order-key.ts'

/** What was stored for the partials of a batch. */
export interface Bases {
  /** Of the load that is under way, or the last one. */
  readonly mark: string
  /** By id: what `meta` has and the entity; null for what is not there. */
  readonly found: ReadonlyMap<string, { readonly meta: string | null; readonly json: string | null }>
}

export interface Prepared {
  readonly columns: readonly Columns[]
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
  lane: LaneSpec,
  bases: Bases | undefined,
  limits: Limits,
): Prepared & Pick<Applied, 'waiting'> {
  let columns = new Columns()
  const prepared = { columns: [columns], buried: [] as Buried[], waiting: [] as Change[], skipped: 0 }
  const write = (change: Change, value: string, data: EntityData | undefined, from?: string): void => {
    if (value.length > limits.entity) {
      const detail = `it has ${value.length} characters, at most ${limits.entity} are stored`
      prepared.buried.push({ change, reason: 'too-large', detail })
      return
    }
    const names = value === '' || lane.lookups === undefined ? '' : otherNames(lane.lookups, data, value)
    if (typeof names !== 'string') {
      prepared.buried.push({ change, reason: 'refused', detail: names.detail })
      return
    }
    if (columns.count >= limits.changes || (columns.count > 0 && columns.size + value.length > limits.size)) {
      columns = new Columns()
      prepared.columns.push(columns)
    }
    const condition = from !== undefined ? 'c' : change.fromLoad ? 's' : 'n'
    columns.add(change, orderKey(change.at), value, names, condition, from)
  }
  for (const change of batch.changes) {
    if (change.kind === 'full') write(change, change.json, change.data)
    else if (change.kind === 'delete') write(change, '', undefined)
    else merge(change)
  }
  return prepared

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
    write(change, JSON.stringify(data), data, stored?.meta ?? '')
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
