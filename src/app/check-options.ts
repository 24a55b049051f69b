/** What `createApp` was given, before anything is made of it: names that exist, and components that are some. */
import type { HealthOptions, AppOptions, ShutdownOptions } from './options.ts'
import type { HttpOptions, OverloadOptions } from './http/options.ts'
import type { Components, UserSchemas } from './service.ts'
import { checkOptionNames } from '../config/known-options.ts'
import { SluiceError } from '../core/errors.ts'
import { isStandardSchema } from '../core/standard-schema.ts'

/** As objects, so that the compiler holds them equal to the types. */
const APP = names<AppOptions<Components>>({
  name: true,
  components: true,
  settings: true,
  config: true,
  configFile: true,
  env: true,
  port: true,
  host: true,
  http: true,
  health: true,
  shutdown: true,
  logger: true,
  clock: true,
  random: true,
})
const HTTP = names<HttpOptions>({
  bodyLimit: true,
  maxJsonDepth: true,
  maxHeaderBytes: true,
  headersTimeout: true,
  requestTimeout: true,
  keepAliveTimeout: true,
  maxConnections: true,
  maxParamLength: true,
  trustProxy: true,
  hosts: true,
  overload: true,
  openapi: true,
})
const OVERLOAD = names<OverloadOptions>({ maxLoopDelay: true, maxMemory: true })
const HEALTH = names<HealthOptions>({
  gates: true,
  maxStartup: true,
  interval: true,
  timeout: true,
  downAfter: true,
  upAfter: true,
  detail: true,
  token: true,
  hosts: true,
})
const SHUTDOWN = names<ShutdownOptions>({
  budget: true,
  drainDelay: true,
  httpTimeout: true,
  workTimeout: true,
  closeTimeout: true,
  maxStall: true,
  hangup: true,
})

/** Throws SLUICE_INVALID_ARGUMENT that names the place, with the nearest name where one is not known. */
export function checkOptions(options: AppOptions<Components, UserSchemas>): void {
  if (typeof options !== 'object' || options === null)
    throw refused('createApp', 'an object of options', options)
  checkOptionNames('createApp', options, APP)
  checkOptionNames('createApp: http', options.http, HTTP)
  const overload = options.http?.overload
  if (overload !== false) checkOptionNames('createApp: http.overload', overload, OVERLOAD)
  checkOptionNames('createApp: health', options.health, HEALTH)
  checkOptionNames('createApp: shutdown', options.shutdown, SHUTDOWN)
  for (const [name, given] of entriesOf('components', options.components)) checkComponent(name, given)
  for (const [name, given] of entriesOf('settings', options.settings)) {
    if (!isStandardSchema(given))
      throw refused(`settings.${name}`, 'a Standard Schema, such as z.object({ … })', given)
  }
}

function checkComponent(name: string, given: unknown): void {
  if (typeof given === 'function') {
    throw new SluiceError(
      'SLUICE_INVALID_ARGUMENT',
      `components.${name}: expected a component, got a function`,
      {
        hint: `Call it: { ${name}: ${given.name === '' ? 'redis' : given.name}() }.`,
      },
    )
  }
  const { kind, create } = (given ?? {}) as { readonly kind?: unknown; readonly create?: unknown }
  if (typeof kind !== 'string' || typeof create !== 'function')
    throw refused(`components.${name}`, 'a component, such as redis()', given)
}

/** Says of what kind the value is, and not the value: what stands where something else should may hold a secret. */
function refused(place: string, expected: string, given: unknown): SluiceError {
  const got = given === null ? 'null' : Array.isArray(given) ? 'a list' : `a value of type ${typeof given}`
  return new SluiceError('SLUICE_INVALID_ARGUMENT', `${place}: expected ${expected}, got ${got}`)
}

function entriesOf(option: string, given: unknown): readonly (readonly [string, unknown])[] {
  if (given === undefined) return []
  if (typeof given !== 'object' || given === null || Array.isArray(given))
    throw refused(option, 'an object by name', given)
  return Object.entries(given)
}

function names<T>(of: Readonly<Record<keyof T, true>>): readonly string[] {
  return Object.keys(of)
}
