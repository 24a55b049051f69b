/** Memory of a slot: the id, and behind it the entity as JSON, in UTF-8. */
export interface Cell {
  readonly memory: Buffer
  readonly at: number
  readonly size: number
  idLength: number
  /** 0 where the entity is not here. */
  jsonLength: number
}

/** The id, which is ASCII. */
export function idOf({ memory, at, idLength }: Cell): string {
  return memory.toString('latin1', at, at + idLength)
}

export function jsonOf({ memory, at, idLength, jsonLength }: Cell): string {
  return memory.toString('utf8', at + idLength, at + idLength + jsonLength)
}
