/** What is kept of a cached value: JSON with no wrapping, and its time to live. */
import { SluiceError } from '../../core/errors.ts'
import type { Command, Reply } from './backend.ts'
import type { Settings } from './cached-options.ts'
import { asText, defineOperation, invalid } from './commands/command.ts'
import type { Invoker } from './invoke.ts'

export interface Found {
  readonly state: 'hit' | 'stale' | 'miss' | 'error'
  readonly json?: string
}

const READ = defineOperation('cached.read', true)
const PTTL: (key: string) => Command<Reply> = (key) => ({
  spec: READ,
  args: ['PTTL', key],
  parse: (reply) => reply,
})
const GET: (key: string) => Command<Reply> = (key) => ({ spec: READ, args: ['GET', key], parse: asText })

/** Looks in the cache. Rejects only where the settings say so. */
export async function readCached(invoker: Invoker, key: string, settings: Settings): Promise<Found> {
  const name = invoker.key(key)
  try {
    if (settings.staleFor === 0) {
      const json = await invoker.send(GET(name))
      return typeof json === 'string' ? checked(invoker, key, json, 'hit') : { state: 'miss' }
    }
    const [json, left] = await invoker.sendMany(READ, [GET(name), PTTL(name)], asTheyAre)
    if (json instanceof SluiceError) throw json
    if (typeof json !== 'string') return { state: 'miss' }
    const isStale = typeof left === 'number' && left >= 0 && left < settings.staleFor
    return checked(invoker, key, json, isStale ? 'stale' : 'hit')
  } catch (error) {
    if (settings.onCacheError === 'throw') throw error
    return { state: 'error' }
  }
}

/** A key that holds something else than JSON counts as a miss, and is written over. */
function checked({ name, log }: Invoker, key: string, json: string, state: 'hit' | 'stale'): Found {
  try {
    JSON.parse(json)
    return { state, json }
  } catch {
    log.warn({ key }, `${name}: a cached key held no JSON and is loaded anew`)
    return { state: 'miss' }
  }
}

const asTheyAre = <T>(results: T): T => results

/** Text of a loaded value; undefined for undefined, which JSON does not have. */
export function toJson(value: unknown): string | undefined {
  if (value === undefined) return undefined
  let json: string | undefined
  try {
    json = JSON.stringify(value)
  } catch (error) {
    throw new SluiceError('SLUICE_INVALID_ARGUMENT', 'cached: the loaded value cannot be written as JSON', {
      cause: error,
    })
  }
  if (json === undefined)
    throw invalid(`cached: the loaded value cannot be written as JSON: it is a ${typeof value}`)
  return json
}

/** What `load` returned decides T; undefined comes back where it returned that. */
export function fromJson<T>(json: string | undefined): T {
  return (json === undefined ? undefined : JSON.parse(json)) as T
}
