/**
 * What a service takes out of its argument is what it needs: the argument records it. A service runs once, so there is
 * no dry run and no list to keep in step with the code.
 */
import { SluiceError } from '../core/errors.ts'
import { nearest } from '../config/nearest.ts'

/** Thrown out of a service that takes a component that is turned off; the service is listed as skipped. */
export class SkippedService extends Error {
  override readonly name = 'SkippedService'
  readonly component: string

  constructor(component: string, reason: string) {
    super(`needs "${component}", which is disabled: ${reason}`)
    this.component = component
  }
}

export interface NeedsOptions {
  readonly service: string
  /** Every component by name; undefined for one that is turned off. */
  readonly components: ReadonlyMap<string, object | undefined>
  /** Why a component is off. */
  readonly reason: (component: string) => string
  /** What else the argument holds: `http`, `log`, … Taking one of these is no need. */
  readonly extras: Readonly<Record<string, unknown>>
  readonly onNeed: (component: string) => void
}

/**
 * The argument of a service. Reading a component records it; reading a disabled one throws SkippedService; reading a
 * name that is nothing throws SLUICE_INVALID_ARGUMENT with the known names. `'cache' in argument` asks without needing.
 */
export function recordingArgument(options: NeedsOptions): Readonly<Record<string, unknown>> {
  const { components, extras } = options
  const known = [...components.keys(), ...Object.keys(extras)]
  const take = (key: string): unknown => {
    if (components.has(key)) {
      const component = components.get(key)
      if (component === undefined) throw new SkippedService(key, options.reason(key))
      options.onNeed(key)
      return component
    }
    if (Object.hasOwn(extras, key)) return extras[key]
    // What the language and loggers ask of any object is no need of the service.
    if (key in Object.prototype || key === 'then' || key === 'toJSON') return undefined
    const guess = nearest(key, known)
    throw new SluiceError(
      'SLUICE_INVALID_ARGUMENT',
      `service "${options.service}" takes "${key}" out of its argument, and there is no such thing (known: ${known.join(', ')})` +
        (guess === undefined ? '' : `; did you mean "${guess}"?`),
    )
  }
  const has = (key: string | symbol): boolean =>
    typeof key === 'string' && (components.get(key) !== undefined || Object.hasOwn(extras, key))
  return new Proxy<Readonly<Record<string, unknown>>>(Object.create(null), {
    get: (_target, key) => (typeof key === 'string' ? take(key) : undefined),
    has: (_target, key) => has(key),
    ownKeys: () => known.filter(has),
    getOwnPropertyDescriptor: (_target, key) =>
      has(key) ? { enumerable: true, configurable: true, get: () => take(String(key)) } : undefined,
    set: () => false,
  })
}
