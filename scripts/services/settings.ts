/** What a caller may change: `SLUICE_SERVICES_DIR`, `SLUICE_SERVICES_<NAME>_PORT`, `SLUICE_SERVICES_<NAME>_HEAP_MB`. */
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Recipe } from './service.ts'

/** Where the servers of this user keep data, logs and process ids. */
export function servicesDirectory(): string {
  const own = process.env['SLUICE_SERVICES_DIR']
  if (own !== undefined && own !== '') return own
  return join(tmpdir(), `sluice-services-${process.getuid?.() ?? 'user'}`)
}

/** The ports of a recipe, all moved as far as its first one was. */
export function portsOf(recipe: Recipe): Record<string, number> {
  const usual = recipe.ports['port'] ?? 0
  const wanted = setting(recipe, 'PORT', usual, 1, 65_000)
  return Object.fromEntries(Object.entries(recipe.ports).map(([name, port]) => [name, port + wanted - usual]))
}

export function heapOf(recipe: Recipe): number {
  return setting(recipe, 'HEAP_MB', recipe.heapMb, 64, 65_536)
}

function setting(recipe: Recipe, what: string, usual: number, min: number, max: number): number {
  const name = `SLUICE_SERVICES_${recipe.name.toUpperCase()}_${what}`
  const text = process.env[name]
  if (text === undefined || text === '') return usual
  const value = Number(text)
  if (Number.isSafeInteger(value) && value >= min && value <= max) return value
  throw new Error(`${name}: expected a whole number from ${min} to ${max}, got ${JSON.stringify(text)}`)
}
