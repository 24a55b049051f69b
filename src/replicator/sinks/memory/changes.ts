/** What becomes of the entities of a lane in memory, change by change: the rules that the units on a server have too. */
import type { Applied, Batch, Change, EntityData, LaneSpec, StreamId } from '../../contract.ts'
import { mergePartial } from '../../merge.ts'
import { compareStreamIds, isAfter } from '../../stream-id.ts'
import type { Buried } from '../dead-letter.ts'
import { otherNames } from '../other-names.ts'
import type { MemoryEntity, MemoryLane } from './store.ts'

/** Where changes go, and by which rules. */
export interface Place {
  readonly lane: MemoryLane
  readonly spec: LaneSpec
  /** The load that is under way, as in `Batch`. */
  readonly load: Batch['load']
  readonly maxEntity: number
  readonly tombstoneMs: number
  /** Wall clock. */
  readonly nowMs: number
}

export interface Outcome extends Pick<Applied, 'dead' | 'waiting'> {
  applied: number
  skippedAsOlder: number
  readonly dead: Buried[]
  readonly waiting: Change[]
}

export function applyChange(place: Place, change: Change, outcome: Outcome): void {
  const { lane, spec, load, maxEntity, tombstoneMs, nowMs } = place
  const stored = living(lane, change.id, nowMs)
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
    const isBase = stored?.json !== undefined && (load === undefined || stored.mark === lane.mark)
    if (!isBase) {
      if (load !== undefined) outcome.waiting.push(change)
      else outcome.dead.push({ change, reason: 'no-base', detail: 'there is nothing to merge it into' })
      return
    }
    data = mergePartial(JSON.parse(stored.json!) as EntityData, data ?? (JSON.parse(json) as EntityData))
    json = JSON.stringify(data)
  }
  if (json.length > maxEntity) {
    const detail = `it has ${json.length} characters, at most ${maxEntity} are stored`
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
  const livesMs = isGone ? tombstoneMs : spec.ttlMs === 0 ? Infinity : spec.ttlMs
  lane.entities.set(change.id, {
    version: change.at,
    json: isGone ? undefined : json,
    mark: lane.mark,
    names,
    untilMs: nowMs + livesMs,
  })
  point(lane, change.id, stored?.names ?? '', names, change.at)
}

/** Looks at a few, from the oldest on, for those whose time is over; the others go to the end. */
export function sweep(lane: MemoryLane, nowMs: number, count: number): void {
  let left = count
  for (const [id, entity] of lane.entities) {
    if (left-- === 0) return
    lane.entities.delete(id)
    if (entity.untilMs <= nowMs) forget(lane, id, entity)
    else lane.entities.set(id, entity)
  }
}

export function forget(lane: MemoryLane, id: string, { names }: MemoryEntity): void {
  lane.entities.delete(id)
  for (const name of listed(names)) if (lane.lookups.get(name) === id) lane.lookups.delete(name)
}

/** What is stored, unless its time is over. */
function living(lane: MemoryLane, id: string, nowMs: number): MemoryEntity | undefined {
  const stored = lane.entities.get(id)
  if (stored === undefined || stored.untilMs > nowMs) return stored
  forget(lane, id, stored)
  return undefined
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

const listed = (names: string): readonly string[] => names.split('\0').slice(1)
