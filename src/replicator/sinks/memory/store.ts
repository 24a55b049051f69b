/** What a memory sink keeps. Shared by several sinks it behaves as one server does, fencing included. */
import type { DeadLetter, StreamId } from '../../contract.ts'

export interface MemoryEntity {
  readonly version: StreamId
  /** Undefined: deleted, and remembered so that nothing older brings it back. */
  readonly json: string | undefined
  /** The load it belongs to. */
  readonly mark: number
  /** Other names, each behind a NUL. */
  readonly names: string
  /** Wall clock at which it is forgotten; Infinity for never. */
  readonly untilMs: number
}

export class MemoryLane {
  readonly entities = new Map<string, MemoryEntity>()
  readonly lookups = new Map<string, string>()
  readonly dead = new Map<string, DeadLetter>()
  token = 0
  owner = ''
  /** Wall clock at which another may take over. */
  leasedUntilMs = 0
  cursor: StreamId | undefined
  mark = 0
  load: string | undefined
  ready: string | undefined
}

/** The store of memory sinks. `clear` empties it, as a server that lost its data. */
export class MemoryStore {
  #lanes = new Map<string, MemoryLane>()

  lane(name: string): MemoryLane {
    let lane = this.#lanes.get(name)
    if (lane === undefined) this.#lanes.set(name, (lane = new MemoryLane()))
    return lane
  }

  /** JSON text of an entity; undefined where there is none. */
  entity(lane: string, id: string): string | undefined {
    return this.#lanes.get(lane)?.entities.get(id)?.json
  }

  /** Id of the entity with this other name. */
  lookup(lane: string, otherName: string): string | undefined {
    return this.#lanes.get(lane)?.lookups.get(otherName)
  }

  /** Ids of the entities of a lane that are there. */
  ids(lane: string): string[] {
    const entities = this.#lanes.get(lane)?.entities ?? []
    return [...entities].flatMap(([id, { json }]) => (json === undefined ? [] : [id]))
  }

  clear(): void {
    this.#lanes = new Map()
  }
}
