/**
 * How a partial changes an entity: field by field, at the first level. A field that is null in the partial is removed;
 * every other one is replaced as a whole. The same in memory and in every sink, so that it does not matter where a
 * partial meets its base.
 */
import type { EntityData } from './contract.ts'

/** The entity after `partial`; neither argument is changed. */
export function mergePartial(base: EntityData, partial: EntityData): EntityData {
  const merged = { ...base }
  mergeInto(merged, partial)
  return merged
}

/** The same on an object of one's own. */
export function mergeInto(entity: Record<string, unknown>, partial: EntityData): void {
  for (const field of Object.keys(partial)) {
    const value = partial[field]
    if (value === null) delete entity[field]
    else set(entity, field, value)
  }
}

/** Makes `first`, which is one's own, both partials in stream order: a null stays, since the base may have the field. */
export function joinInto(first: Record<string, unknown>, second: EntityData): void {
  for (const field of Object.keys(second)) set(first, field, second[field])
}

/** `__proto__` of a JSON text is a field like any other; an assignment would set the prototype. */
function set(target: Record<string, unknown>, field: string, value: unknown): void {
  if (field !== '__proto__') target[field] = value
  else Object.defineProperty(target, field, { value, enumerable: true, configurable: true, writable: true })
}
