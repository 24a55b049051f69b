/** Puts one section together: for each field the first source that sets it, code > environment > file > default. */
import { readVariable, type Environment } from './environment.ts'
import { isMapping, unknownKey } from './nested.ts'
import { secretsOf } from './secrets.ts'
import { showRaw } from './show.ts'
import { yamlKey, type Field, type Fields, type Origin, type Section } from './section.ts'
import type { Problem } from './problem.ts'

/** One mapping that was written somewhere: in code, or in the file. */
export interface Layer {
  readonly origin: Origin
  /** Before the key in messages: `redis`, or the component's name. */
  readonly path: string
  readonly values: Readonly<Record<string, unknown>>
  /** Where a key was written: `code`, `sluice.yaml:12`. */
  readonly source: (key: string) => string
}

/** One value of the effective configuration. */
export interface Entry {
  /** As YAML spells it: `redis.dial_timeout`. */
  readonly path: string
  /** Safe to print; empty where it is unset. */
  readonly shown: string
  /** `code`, `env REDIS_ADDR`, `sluice.yaml:12`, `default`. */
  readonly source: string
  readonly doc: string
}

export interface SectionRequest {
  readonly section: Section
  /** Before each key: the section's name, or the component's. */
  readonly path: string
  /** The first layer that sets a field wins; layers of code stand before the environment, those of text after it. */
  readonly layers: readonly Layer[]
  readonly env: Environment
  /** Put before each variable of the section, for a component with a name of its own: `SESSIONS_`. */
  readonly envPrefix?: string
}

export interface ResolvedSection {
  readonly values: Readonly<Record<string, unknown>>
  readonly entries: readonly Entry[]
  readonly problems: readonly Problem[]
  /** What is odd and no fault, one line each. */
  readonly warnings: readonly string[]
  /** For a redactor. */
  readonly secrets: readonly string[]
}

/** Shown in place of a value that is at fault. */
export const INVALID = '(invalid)'

interface Found {
  readonly raw: unknown
  readonly origin: Origin
  readonly source: string
  readonly path: string
}

/** Reads every field and reports every fault. Values are complete only where there is no problem. */
export function resolveSection(request: SectionRequest): ResolvedSection {
  const { section } = request
  const problems: Problem[] = []
  const keyed = request.layers.map((layer) => ({ layer, keys: keysOf(layer, section.fields, problems) }))
  const values: Record<string, unknown> = {}
  const entries: Entry[] = []
  const sources = new Map<string, string>()
  const warnings: string[] = []
  const secrets: string[] = []
  for (const [key, field] of Object.entries(section.fields)) {
    const found = find(request, keyed, key, field)
    const path = `${request.path}.${yamlKey(key)}`
    const before = problems.length
    const value = found === undefined ? field.defaultValue : read(field, found, problems, warnings)
    values[key] = value
    secrets.push(...secretsOf(field, value))
    const source = found?.source ?? 'default'
    sources.set(key, source)
    if (problems.length > before) entries.push({ path, shown: INVALID, source, doc: field.doc })
    else entries.push(...entriesOf(field, path, value, source))
  }
  if (problems.length === 0) {
    const given = (field: string): boolean => sources.get(field) !== 'default'
    for (const { field, expected } of section.check?.(values as never, given) ?? []) {
      const shown = section.fields[field]?.show(values[field])
      const got = shown === undefined || shown === '' ? {} : { got: shown }
      const source = sources.get(field) ?? 'default'
      const key = source === 'code' ? field : yamlKey(field)
      problems.push({ path: `${request.path}.${key}`, source, expected, ...got })
    }
  }
  return { values: Object.freeze(values), entries, problems, warnings, secrets }
}

/** One entry, or one for each setting of a nested value. */
function entriesOf(field: Field<unknown>, path: string, value: unknown, source: string): readonly Entry[] {
  const { nested } = field
  if (nested === undefined || !isMapping(value))
    return [{ path, shown: field.show(value), source, doc: field.doc }]
  return Object.entries(value).flatMap(([key, part]) => {
    const inner = Object.hasOwn(nested, key) ? nested[key] : undefined
    // A key that is no field is the name of a group.
    if (inner === undefined) return entriesOf(field, `${path}.${key}`, part, source)
    return entriesOf(inner, `${path}.${yamlKey(key)}`, part, source)
  })
}

interface KeyedLayer {
  readonly layer: Layer
  /** Field key -> key as written. */
  readonly keys: ReadonlyMap<string, string>
}

/** Which field each written key means; a key that nobody knows is a problem, and so is one written in two spellings. */
function keysOf(layer: Layer, fields: Fields, problems: Problem[]): ReadonlyMap<string, string> {
  const known = new Map(
    Object.keys(fields).flatMap((key) => [[yamlKey(key), key] as const, [key, key] as const]),
  )
  const keys = new Map<string, string>()
  for (const written of Object.keys(layer.values)) {
    const key = known.get(written)
    const place = { path: `${layer.path}.${written}`, source: layer.source(written) }
    if (key === undefined)
      problems.push({ ...place, expected: unknownKey(written, [...known.keys()], layer.origin) })
    else if (keys.has(key)) problems.push({ ...place, expected: `${yamlKey(key)} once, in one spelling` })
    else keys.set(key, written)
  }
  return keys
}

function find(
  request: SectionRequest,
  layers: readonly KeyedLayer[],
  key: string,
  field: Field<unknown>,
): Found | undefined {
  return findIn(layers, 'code', key) ?? findVariable(request, key, field) ?? findIn(layers, 'text', key)
}

function findIn(layers: readonly KeyedLayer[], origin: Origin, key: string): Found | undefined {
  for (const { layer, keys } of layers) {
    const written = keys.get(key)
    if (layer.origin !== origin || written === undefined) continue
    const raw = layer.values[written]
    // A blank value in YAML and undefined in code leave the field to the next source.
    if (raw === undefined || raw === null) continue
    return { raw, origin, source: layer.source(written), path: `${layer.path}.${written}` }
  }
  return undefined
}

function findVariable(request: SectionRequest, key: string, field: Field<unknown>): Found | undefined {
  const own = request.envPrefix === undefined ? [] : field.env.map((name) => `${request.envPrefix}${name}`)
  for (const name of [...own, ...field.env]) {
    const raw = readVariable(request.env, name)
    if (raw !== undefined) {
      return { raw, origin: 'text', source: `env ${name}`, path: `${request.path}.${yamlKey(key)}` }
    }
  }
  return undefined
}

function read(field: Field<unknown>, found: Found, problems: Problem[], warnings: string[]): unknown {
  const parsed = field.parse(found.raw, found.origin)
  const { source } = found
  if (parsed.ok) {
    for (const warning of parsed.warnings ?? []) warnings.push(`${source} (${found.path}): ${warning}`)
    return parsed.value
  }
  if (parsed.faults === undefined) {
    problems.push({
      path: found.path,
      source,
      expected: parsed.expected,
      got: showRaw(found.raw, field.secrecy),
    })
  }
  for (const fault of parsed.faults ?? []) {
    const path = fault.at === '' ? found.path : `${found.path}.${fault.at}`
    problems.push({
      path,
      source,
      expected: fault.expected,
      ...(fault.got === undefined ? {} : { got: fault.got }),
    })
  }
  return field.defaultValue
}
