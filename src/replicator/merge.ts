/**
 * How a partial changes an entity: field by field, at the first level. A field that is null in the partial is removed;
 * every other one is replaced as a whole. The same in memory and in every sink, so that it does not matter where a
 * partial meets its base.
 */
import type { EntityData } from './contract.ts'

/** The entity after `partial`; neither argument is changed. */
export function mergePartial(base: EntityData, partial: EntityData): EntityData {
  const merged: Record<string, unknown> = { ...base }
  for (const field of Object.keys(partial)) {
    const value = partial[field]
    if (value === null) delete merged[field]
    else set(merged, field, value)
  }
  return merged
}

/** Two partials in stream order as one: a null stays, since the base may have the field. */
export function joinPartials(first: EntityData, second: EntityData): EntityData {
  const joined: Record<string, unknown> = { ...first }
  for (const field of Object.keys(second)) set(joined, field, second[field])
  return joined
}

/** `__proto__` of a JSON text is a field like any other; an assignment would set the prototype. */
function set(target: Record<string, unknown>, field: string, value: unknown): void {
  if (field === '__proto__')
    Object.defineProperty(target, field, { value, enumerable: true, configurable: true, writable: true })
  else target[field] = value
}
