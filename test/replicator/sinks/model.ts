/** What the entities of a lane have to be, said as shortly as can be: the newest state of each, or that it is gone. */
import type { Change, EntityData } from '../../../src/replicator/contract.ts'
import { compareStreamIds, type StreamId } from '../../../src/replicator/stream-id.ts'

export class Model {
  readonly #stored = new Map<string, { at: StreamId; data: EntityData | undefined }>()

  apply(changes: readonly Change[]): { applied: number; skipped: number; dead: number } {
    const counts = { applied: 0, skipped: 0, dead: 0 }
    for (const { id, kind, at, json } of changes) {
      const stored = this.#stored.get(id)
      if (stored !== undefined && compareStreamIds(at, stored.at) <= 0) counts.skipped++
      else if (kind === 'partial' && stored?.data === undefined) counts.dead++
      else {
        counts.applied++
        this.#stored.set(id, { at, data: next(kind, stored?.data, json) })
      }
    }
    return counts
  }

  ids(): readonly string[] {
    return [...this.#stored].flatMap(([id, { data }]) => (data === undefined ? [] : [id])).sort()
  }

  data(id: string): EntityData | undefined {
    return this.#stored.get(id)?.data
  }
}

/** Which entity has this name. */
export function joinNames(model: Model, name: string): string | undefined {
  return model.ids().find((id) => (model.data(id)!['names'] as readonly string[]).includes(name))
}

function next(kind: Change['kind'], base: EntityData | undefined, json: string): EntityData | undefined {
  if (kind === 'delete') return undefined
  const data = JSON.parse(json) as EntityData
  if (kind === 'full') return data
  return Object.fromEntries(Object.entries({ ...base, ...data }).filter(([, value]) => value !== null))
}
