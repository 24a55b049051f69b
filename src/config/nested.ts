/** Fields whose value is a mapping: one group of fields, or many named groups. */
import {
  yamlKey,
  type Field,
  type Fields,
  type Fault,
  type Origin,
  type Parsed,
  type SectionValues,
} from './section.ts'
import { nearest } from './nearest.ts'
import { showRaw } from './show.ts'

export interface NestedOptions {
  /** One line: what it does. */
  readonly doc: string
}

/** Limit of named groups in one field. A configuration with more is a mistake or an attack. */
const MAX_ENTRIES = 1_000

/** One group of fields below a key. Left out, the value is undefined. */
export function nested<const F extends Fields>(
  fields: F,
  options: NestedOptions,
): Field<SectionValues<F> | undefined> {
  return frame(fields, options, 'mapping', (raw, origin) => parseGroup(fields, raw, origin))
}

/**
 * Named groups of fields: a mapping from name to group, or a list of groups that each have a `name`. Left out, the
 * value is undefined.
 */
export function record<const F extends Fields>(
  fields: F,
  options: NestedOptions,
): Field<Readonly<Record<string, SectionValues<F>>> | undefined> {
  return frame(fields, options, 'mapping from name to settings', (raw, origin) =>
    parseRecord(fields, raw, origin),
  )
}

function parseRecord<F extends Fields>(
  fields: F,
  raw: unknown,
  origin: Origin,
): Parsed<Readonly<Record<string, SectionValues<F>>>> {
  const expected = 'a mapping from name to settings, or a list of settings that each have a name'
  const entries = namedEntries(raw)
  if (entries === undefined || entries.length > MAX_ENTRIES) return { ok: false, expected }
  const values = Object.create(null) as Record<string, SectionValues<F>>
  const faults: Fault[] = []
  const warnings: string[] = []
  for (const [name, group] of entries) {
    const parsed = parseGroup(fields, group, origin)
    if (!/^[A-Za-z][\w.-]*$/.test(name))
      faults.push({ at: name, expected: 'a name of letters, digits, _ . -' })
    else if (Object.hasOwn(values, name)) faults.push({ at: name, expected: 'each name once' })
    else if (parsed.ok) {
      values[name] = parsed.value
      warnings.push(...below(name, parsed.warnings))
    } else for (const fault of faultsOf(parsed)) faults.push({ ...fault, at: join(name, fault.at) })
  }
  return faults.length === 0
    ? { ok: true, value: Object.freeze(values), warnings }
    : { ok: false, expected, faults }
}

function namedEntries(raw: unknown): readonly (readonly [string, unknown])[] | undefined {
  if (!Array.isArray(raw)) return isMapping(raw) ? Object.entries(raw) : undefined
  const entries: (readonly [string, unknown])[] = []
  for (const item of raw as readonly unknown[]) {
    if (!isMapping(item) || typeof item['name'] !== 'string') return undefined
    const { name, ...group } = item
    entries.push([name as string, group])
  }
  return entries
}

/** Parses one group: every field is read, every fault is reported. */
export function parseGroup<F extends Fields>(
  fields: F,
  raw: unknown,
  origin: Origin,
): Parsed<SectionValues<F>> {
  if (!isMapping(raw)) return { ok: false, expected: 'a mapping' }
  const faults: Fault[] = []
  const warnings: string[] = []
  const values: Record<string, unknown> = {}
  const known = new Map(
    Object.keys(fields).flatMap((key) => [[key, key] as const, [yamlKey(key), key] as const]),
  )
  const given = new Map<string, unknown>()
  for (const [name, value] of Object.entries(raw)) {
    const key = known.get(name)
    if (key === undefined) faults.push({ at: name, expected: unknownKey(name, [...known.keys()], origin) })
    else if (given.has(key)) faults.push({ at: name, expected: `${yamlKey(key)} once` })
    else given.set(key, value)
  }
  for (const [key, field] of Object.entries(fields)) {
    const value = given.get(key) ?? undefined
    if (value === undefined) {
      values[key] = field.defaultValue
      continue
    }
    const parsed = field.parse(value, origin)
    if (parsed.ok) {
      values[key] = parsed.value
      warnings.push(...below(yamlKey(key), parsed.warnings))
    } else if (parsed.faults !== undefined) {
      for (const fault of parsed.faults) faults.push({ ...fault, at: join(yamlKey(key), fault.at) })
    } else faults.push({ at: yamlKey(key), expected: parsed.expected, got: showRaw(value, field.secrecy) })
  }
  return faults.length === 0
    ? { ok: true, value: Object.freeze(values) as SectionValues<F>, warnings }
    : { ok: false, expected: 'a mapping', faults }
}

/** What to say of a key that nobody knows: the nearest one, or all of them. */
export function unknownKey(name: string, known: readonly string[], origin: Origin): string {
  const spelled = known.filter((key) => (origin === 'code' ? !key.includes('_') : !/[A-Z]/.test(key)))
  const near = nearest(name, spelled)
  if (near !== undefined) return `a known key; did you mean ${near}?`
  return spelled.length === 0 ? 'no keys here' : `a known key: ${[...new Set(spelled)].toSorted().join(', ')}`
}

export function isMapping(raw: unknown): raw is Readonly<Record<string, unknown>> {
  if (typeof raw !== 'object' || raw === null) return false
  const prototype: unknown = Object.getPrototypeOf(raw)
  return prototype === null || prototype === Object.prototype
}

function faultsOf(parsed: {
  readonly expected: string
  readonly faults?: readonly Fault[]
}): readonly Fault[] {
  return parsed.faults ?? [{ at: '', expected: parsed.expected }]
}

function below(key: string, warnings: readonly string[] = []): readonly string[] {
  return warnings.map((warning) => `${key}: ${warning}`)
}

function join(...parts: readonly string[]): string {
  return parts.filter((part) => part !== '').join('.')
}

function frame<T>(
  fields: Fields,
  options: NestedOptions,
  type: string,
  parse: (raw: unknown, origin: Origin) => Parsed<T>,
): Field<T | undefined> {
  return Object.freeze({
    parse: (raw: unknown, origin: Origin = 'text') => parse(raw, origin),
    defaultValue: undefined,
    env: [],
    secrecy: 'public' as const,
    doc: options.doc,
    type,
    show: (value: T | undefined) =>
      value === undefined ? '' : `${Object.keys(value as object).length} settings`,
    nested: fields,
  })
}
