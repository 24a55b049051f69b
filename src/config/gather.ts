/** The parts of a configuration, each read from all sources, with what is gathered on the way. */
import { checkAttemptLimit } from './attempt-limit.ts'
import { codeLayer, type Documents } from './documents.ts'
import { boolean } from './fields.ts'
import { ALIASES, KINDS, resolveInfrastructure, type Pooling } from './infrastructure.ts'
import { nearest } from './nearest.ts'
import { isMapping, unknownKey } from './nested.ts'
import { DEFAULT_FILE } from './yaml-file.ts'
import { resolveSection, type Entry, type Layer, type ResolvedSection } from './resolve.ts'
import { showRaw } from './show.ts'
import type { Environment } from './environment.ts'
import type { Problem } from './problem.ts'
import type { Field, Section } from './section.ts'
import type { StandardSchema } from './user-section.ts'

/** What the configuration must know of a component; a ComponentDefinition has it. */
export interface ConfigurableComponent {
  readonly kind: string
  readonly section: Section
  /** Values given in code; they win over every other source. */
  readonly overrides: Readonly<Record<string, unknown>>
  /** Default of `infrastructure.<name>.workers`. */
  readonly workers: number
  /** Default of `infrastructure.timeouts.<name>`, in milliseconds. */
  readonly connectTimeoutMs: number
}

export interface ComponentConfig {
  /** `<component>.enabled`. @default true */
  readonly enabled: boolean
  /** Did any source set any field of the component? */
  readonly configured: boolean
  /** Values of the section's fields. */
  readonly values: Readonly<Record<string, unknown>>
  readonly workers: number
  readonly connectTimeoutMs: number
}

/** What is gathered on the way. */
export class Book {
  readonly problems: Problem[] = []
  readonly warnings: string[] = []
  readonly entries: Entry[] = []
  readonly secrets: string[] = []
  /** Variables that mean something, to tell mistyped ones. */
  readonly variables = new Set(['SLUICE_CONFIG'])

  add(section: Section, resolved: ResolvedSection, envPrefix = ''): Readonly<Record<string, unknown>> {
    for (const field of Object.values(section.fields)) {
      for (const name of field.env) this.variables.add(name).add(`${envPrefix}${name}`)
    }
    this.problems.push(...resolved.problems)
    this.warnings.push(...resolved.warnings)
    this.entries.push(...resolved.entries)
    this.secrets.push(...resolved.secrets)
    return resolved.values
  }
}

/** Sections that every app has. */
const RESERVED = ['app', 'infrastructure', 'services'] as const

/** A key at the top that nobody reads is a fault, but for a kind that this app lacks: apps may share a file. */
export function checkTopLevel(
  components: Readonly<Record<string, ConfigurableComponent>>,
  user: readonly string[],
  documents: Documents,
  book: Book,
): void {
  const sections = Object.values(components).map((component) => component.section.name)
  const own = [...Object.keys(components), ...sections, ...user]
  const taken = new Set<string>(RESERVED)
  for (const name of [...Object.keys(components), ...user]) {
    if (taken.has(name))
      book.problems.push({ path: name, source: 'code', expected: 'a name that no other section has' })
    taken.add(name)
  }
  const known = new Set([...RESERVED, ...own])
  const others = new Set<string>([...KINDS, ...ALIASES.keys()])
  for (const layer of documents.roots) {
    for (const [key, value] of Object.entries(layer.values)) {
      const place = { path: key, source: layer.source(key) }
      if (known.has(key)) {
        const blank = value === null || value === undefined
        if (!blank && !isMapping(value))
          book.problems.push({ ...place, expected: 'a mapping', got: showRaw(value, 'secret') })
      } else if (others.has(key)) {
        book.warnings.push(
          `${place.source} (${key}): this app has no component of this kind, so nobody reads it`,
        )
      } else {
        const near = nearest(key, [...known, ...others])
        const expected =
          near === undefined ? unknownKey(key, [...known], 'text') : `a known section; did you mean ${near}?`
        book.problems.push({ ...place, expected })
      }
    }
  }
}

const ENABLED_DOC = 'false turns it off: it never connects, and services that need it are skipped.'

export function readComponents(
  components: Readonly<Record<string, ConfigurableComponent>>,
  documents: Documents,
  env: Environment,
  book: Book,
): Readonly<Record<string, ComponentConfig>> {
  const infrastructure = resolveInfrastructure(
    components,
    documents.below('infrastructure'),
    (layer, key) => documents.inner(layer, key),
    env,
  )
  const configs: Record<string, ComponentConfig> = {}
  for (const [name, component] of Object.entries(components)) {
    const section = withEnabled(component.section)
    const envPrefix = name === section.name ? '' : `${name.replaceAll(/[^A-Za-z0-9]/g, '_').toUpperCase()}_`
    const layers: readonly Layer[] = [
      codeLayer(name, component.overrides),
      ...documents.below(name, section.name),
    ]
    const resolved = resolveSection({
      section,
      path: name,
      layers,
      env,
      ...(envPrefix === '' ? {} : { envPrefix }),
    })
    const values = book.add(section, resolved, envPrefix)
    const pooling = infrastructure.pooling[name] as Pooling
    configs[name] = {
      enabled: values['enabled'] !== false,
      configured: resolved.entries.some((entry) => entry.source !== 'default'),
      values,
      ...pooling,
    }
    const entries = [...resolved.entries, ...infrastructure.entries]
    checkAttemptLimit({ name, values, connectTimeoutMs: pooling.connectTimeoutMs, entries }, book)
  }
  book.entries.push(...infrastructure.entries)
  book.problems.push(...infrastructure.problems)
  for (const name of infrastructure.variables) book.variables.add(name)
  return configs
}

/** The section with the field `enabled` that every component has. */
export function withEnabled(section: Section): Section {
  if ('enabled' in section.fields) return section
  const env = `${section.name.toUpperCase()}_ENABLED`
  const enabled: Field<boolean> = boolean({ env, default: true, doc: ENABLED_DOC })
  return { ...section, fields: { enabled, ...section.fields } }
}

export function readServices(
  known: readonly string[] | undefined,
  documents: Documents,
  book: Book,
): Readonly<Record<string, boolean>> {
  const field = boolean({ default: true, doc: 'false turns the service off.' })
  const services: Record<string, boolean> = {}
  for (const layer of documents.below('services')) {
    for (const [name, raw] of Object.entries(layer.values)) {
      const place = { path: `services.${name}`, source: layer.source(name) }
      if (known !== undefined && !known.includes(name)) {
        book.problems.push({ ...place, expected: unknownKey(name, known, 'text').replace('key', 'service') })
        continue
      }
      if (name in services || raw === null || raw === undefined) continue
      const parsed = field.parse(raw, layer.origin)
      if (!parsed.ok) {
        book.problems.push({ ...place, expected: parsed.expected, got: showRaw(raw, 'public') })
        continue
      }
      services[name] = parsed.value
      book.entries.push({
        path: place.path,
        shown: String(parsed.value),
        source: place.source,
        doc: field.doc,
      })
    }
  }
  return services
}

export async function readUserSections(
  schemas: Readonly<Record<string, StandardSchema>>,
  documents: Documents,
  env: Environment,
  book: Book,
): Promise<Readonly<Record<string, unknown>>> {
  const values: Record<string, unknown> = {}
  if (Object.keys(schemas).length === 0) return values
  const { resolveUserSection } = await import('./user-section.ts')
  for (const [name, schema] of Object.entries(schemas)) {
    const resolved = await resolveUserSection({
      name,
      schema,
      layers: documents.below(name),
      env,
      file: documents.file ?? DEFAULT_FILE,
    })
    values[name] = resolved.value
    for (const variable of resolved.variables) book.variables.add(variable)
    book.entries.push(...resolved.entries)
    book.problems.push(...resolved.problems)
    book.secrets.push(...resolved.secrets)
  }
  return values
}
