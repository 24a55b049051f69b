/**
 * `infrastructure.<name>.workers` and `infrastructure.timeouts.<name>`: the size of a component's pool and the limit of
 * one connect. `<name>` is the component's name, or its kind; `minio` and `mongodb` are other words for s3 and mongo.
 * In the environment: INFRASTRUCTURE_REDIS_WORKERS and INFRASTRUCTURE_TIMEOUTS_REDIS (seconds).
 */
import { readVariable, type Environment } from './environment.ts'
import { duration, integer } from './fields.ts'
import { isMapping, unknownKey } from './nested.ts'
import { showRaw } from './show.ts'
import type { Field, Origin } from './section.ts'
import type { Problem } from './problem.ts'
import type { Entry, Layer } from './resolve.ts'

/** The kinds of component that there are. */
export const KINDS = [
  'postgres',
  'redis',
  'mongo',
  'kafka',
  'rabbitmq',
  's3',
  'cron',
  'threads',
  'jobs',
  'events',
  'replicator',
  'dashboard',
] as const

/** Other words for a kind. */
export const ALIASES: ReadonlyMap<string, string> = new Map([
  ['mongodb', 'mongo'],
  ['minio', 's3'],
])

export interface PooledComponent {
  readonly kind: string
  readonly workers: number
  readonly connectTimeoutMs: number
}

export interface Pooling {
  readonly workers: number
  readonly connectTimeoutMs: number
}

export interface InfrastructureResult {
  readonly pooling: Readonly<Record<string, Pooling>>
  readonly entries: readonly Entry[]
  readonly problems: readonly Problem[]
  /** Variables that mean something. */
  readonly variables: readonly string[]
}

/** `top` are the layers of the mapping `infrastructure`; `inner` gives those of a mapping below one. */
export function resolveInfrastructure(
  components: Readonly<Record<string, PooledComponent>>,
  top: readonly Layer[],
  inner: (layer: Layer, key: string) => Layer | undefined,
  env: Environment,
): InfrastructureResult {
  const problems: Problem[] = []
  const entries: Entry[] = []
  const variables: string[] = []
  const pooling: Record<string, Pooling> = {}
  checkKeys(components, top, inner, problems)
  const timeouts = top.map((layer) => inner(layer, 'timeouts')).filter((layer) => layer !== undefined)

  for (const [name, component] of Object.entries(components)) {
    const names = namesOf(name, component.kind)
    const own = top.flatMap((layer) =>
      names.map((each) => inner(layer, each)).filter((each) => each !== undefined),
    )
    const read = (request: Omit<ValueRequest, 'env'>): number => {
      variables.push(...request.variables)
      return readValue({ ...request, env }, entries, problems)
    }
    pooling[name] = {
      workers: read({
        field: workersField(component.workers),
        path: `infrastructure.${name}.workers`,
        candidates: own.map((layer) => ({ layer, key: 'workers' })),
        variables: names.map((each) => `INFRASTRUCTURE_${shout(each)}_WORKERS`),
      }),
      connectTimeoutMs: read({
        field: timeoutField(component.connectTimeoutMs),
        path: `infrastructure.timeouts.${name}`,
        candidates: timeouts.flatMap((layer) => names.map((key) => ({ layer, key }))),
        variables: names.map((each) => `INFRASTRUCTURE_TIMEOUTS_${shout(each)}`),
      }),
    }
  }
  return { pooling, entries, problems, variables }
}

export function workersField(value: number): Field<number> {
  return integer({
    min: 1,
    max: 100_000,
    default: value,
    doc: 'Tasks that run at once in the pool of the component.',
  })
}

export function timeoutField(ms: number): Field<number> {
  const doc = 'Limit of one attempt to connect the component.'
  return duration({ unit: 's', min: '10ms', max: '1h', default: ms, doc })
}

interface ValueRequest {
  readonly field: Field<number>
  readonly path: string
  readonly candidates: readonly { readonly layer: Layer; readonly key: string }[]
  readonly variables: readonly string[]
  readonly env: Environment
}

function readValue(request: ValueRequest, entries: Entry[], problems: Problem[]): number {
  const { field, path } = request
  const found = written(request, 'code') ?? inEnvironment(request) ?? written(request, 'text')
  let value = field.defaultValue
  if (found !== undefined) {
    const parsed = field.parse(found.raw, found.origin)
    if (parsed.ok) value = parsed.value
    else
      problems.push({
        path: found.path,
        source: found.source,
        expected: parsed.expected,
        got: showRaw(found.raw, 'public'),
      })
  }
  entries.push({ path, shown: field.show(value), source: found?.source ?? 'default', doc: field.doc })
  return value
}

interface Found {
  readonly raw: unknown
  readonly origin: Origin
  readonly source: string
  readonly path: string
}

function written(request: ValueRequest, origin: Origin): Found | undefined {
  for (const { layer, key } of request.candidates) {
    const raw = Object.hasOwn(layer.values, key) ? layer.values[key] : undefined
    if (layer.origin === origin && raw !== undefined && raw !== null)
      return { raw, origin, source: layer.source(key), path: `${layer.path}.${key}` }
  }
  return undefined
}

function inEnvironment(request: ValueRequest): Found | undefined {
  for (const name of request.variables) {
    const raw = readVariable(request.env, name)
    if (raw !== undefined) return { raw, origin: 'text', source: `env ${name}`, path: request.path }
  }
  return undefined
}

function namesOf(name: string, kind: string): readonly string[] {
  const aliases = [...ALIASES].filter(([, meant]) => meant === kind).map(([alias]) => alias)
  return [...new Set([name, kind, ...aliases])]
}

function checkKeys(
  components: Readonly<Record<string, PooledComponent>>,
  top: readonly Layer[],
  inner: (layer: Layer, key: string) => Layer | undefined,
  problems: Problem[],
): void {
  const names = [...new Set([...Object.keys(components), ...KINDS, ...ALIASES.keys()])]
  for (const layer of top) {
    for (const key of Object.keys(layer.values)) {
      const place = { path: `infrastructure.${key}`, source: layer.source(key) }
      const below = inner(layer, key)
      if (key !== 'timeouts' && !names.includes(key)) {
        problems.push({ ...place, expected: unknownKey(key, ['timeouts', ...names], 'text') })
      } else if (below === undefined) {
        if (layer.values[key] !== null && !isMapping(layer.values[key]))
          problems.push({ ...place, expected: 'a mapping' })
      } else {
        const known = key === 'timeouts' ? names : ['workers']
        for (const each of Object.keys(below.values)) {
          if (known.includes(each)) continue
          const path = `${place.path}.${each}`
          problems.push({ path, source: below.source(each), expected: unknownKey(each, known, 'text') })
        }
      }
    }
  }
}

function shout(name: string): string {
  return name.replaceAll(/[^A-Za-z0-9]/g, '_').toUpperCase()
}
