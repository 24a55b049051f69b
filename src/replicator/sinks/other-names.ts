/** Other names of an entity, checked: the function is the user's, and the data may have any shape. */
import type { EntityData, LaneSpec } from '../contract.ts'

const MAX_NAMES = 64
const MAX_LENGTH = 512

/** Each name once, behind a NUL; or why the entity cannot be stored. */
export function otherNames(
  lookups: NonNullable<LaneSpec['lookups']>,
  data: EntityData | undefined,
  json: string,
): string | { readonly detail: string } {
  let names: readonly unknown[]
  try {
    names = lookups(data ?? (JSON.parse(json) as EntityData))
  } catch (error) {
    // The message of an error of the user's may hold what it could not read.
    return { detail: `its lookups threw ${error instanceof Error ? error.name : typeof error}` }
  }
  if (!Array.isArray(names)) return { detail: `its lookups are no list` }
  if (names.length > MAX_NAMES) return { detail: `it has ${names.length} lookups, at most ${MAX_NAMES}` }
  let text = ''
  for (const name of new Set(names)) {
    if (typeof name !== 'string' || name === '' || name.length > MAX_LENGTH || name.includes('\0')) {
      return { detail: `a lookup is not text of 1 to ${MAX_LENGTH} characters without NUL` }
    }
    text += `\0${name}`
  }
  return text
}
