/**
 * Sections of the user's own, checked by any Standard Schema (zod, valibot, arktype, …).
 *
 * Their values come from code, from the environment (`BILLING_API_KEY` for `billing.apiKey`, for the keys that the
 * schema or the file names) and from the file. Text of the environment is offered to the schema as it is and, where
 * that is refused, as the number or boolean that it spells.
 */
import { readVariable, type Environment } from './environment.ts'
import { isSecretName } from './redact.ts'
import { isMapping } from './nested.ts'
import { yamlKey } from './section.ts'
import type { Entry, Layer } from './resolve.ts'
import type { Problem } from './problem.ts'
import {
  issuePath,
  type StandardIssue,
  type StandardResult,
  type StandardSchema,
} from '../core/standard-schema.ts'
import { REDACTED } from '../core/redact-url.ts'

export type { StandardSchema }

/** What a schema gives: the type of `app.config.billing`. */
export type SchemaOutput<S> = S extends StandardSchema<unknown, infer Output> ? Output : never

export interface UserSectionRequest {
  readonly name: string
  readonly schema: StandardSchema
  readonly layers: readonly Layer[]
  readonly env: Environment
  /** Name of the file, for what has to be set. */
  readonly file: string
}

export interface ResolvedUserSection {
  /** What the schema gave, undefined where it refused. */
  readonly value: unknown
  readonly entries: readonly Entry[]
  readonly problems: readonly Problem[]
  /** For a redactor. */
  readonly secrets: readonly string[]
  /** Variables that mean something. */
  readonly variables: readonly string[]
}

/** As resolveSection, with `value` in place of values: a schema may give anything. */
export async function resolveUserSection(request: UserSectionRequest): Promise<ResolvedUserSection> {
  const raw: Record<string, unknown> = {}
  const sources = new Map<string, string>()
  const fromEnvironment = new Map<string, string>()
  const keys = new Set([
    ...schemaKeys(request.schema),
    ...request.layers.flatMap((layer) => Object.keys(layer.values)),
  ])
  for (const key of keys) {
    const inCode = request.layers.find((layer) => layer.origin === 'code' && isSet(layer.values[key]))
    const variable = variableName(request.name, key)
    const text = inCode === undefined ? readVariable(request.env, variable) : undefined
    const layer = inCode ?? request.layers.find((each) => isSet(each.values[key]))
    if (text !== undefined) {
      raw[key] = text
      fromEnvironment.set(key, text)
      sources.set(key, `env ${variable}`)
    } else if (layer !== undefined) {
      raw[key] = layer.values[key]
      sources.set(key, layer.source(key))
    }
  }
  const result = await validate(request.schema, raw, fromEnvironment)
  const value = result.issues === undefined ? result.value : undefined
  const shown = isMapping(value) ? value : raw
  // What the schema added by itself is a default.
  const names = new Set([...sources.keys(), ...Object.keys(isMapping(value) ? value : {})])
  const entries = [...names].map((key) => entry(request.name, key, shown[key], sources.get(key) ?? 'default'))
  const problems = (result.issues ?? []).map((issue) => problem(request, issue, sources, keys))
  const variables = [...keys].map((key) => variableName(request.name, key))
  return { value, entries, problems, secrets: secretTexts(raw), variables }
}

async function validate(
  schema: StandardSchema,
  raw: Readonly<Record<string, unknown>>,
  texts: ReadonlyMap<string, string>,
): Promise<StandardResult<unknown>> {
  const first = await check(schema, raw)
  if (first.issues === undefined) return first
  const refused = new Set(first.issues.map((issue) => String(issuePath(issue)[0])))
  const second: Record<string, unknown> = { ...raw }
  let changed = false
  for (const [key, text] of texts) {
    const spelled = refused.has(key) ? plainValue(text) : text
    changed ||= spelled !== text
    second[key] = spelled
  }
  return changed ? check(schema, second) : first
}

/** A schema is foreign code: what it throws is a fault of the section. */
async function check(schema: StandardSchema, value: unknown): Promise<StandardResult<unknown>> {
  try {
    return await schema['~standard'].validate(value)
  } catch {
    return { issues: [{ message: 'the schema threw an error' }] }
  }
}

function plainValue(text: string): unknown {
  if (/^[+-]?\d+(\.\d+)?$/.test(text)) return Number(text)
  return text === 'true' ? true : text === 'false' ? false : text
}

function problem(
  { name, file }: UserSectionRequest,
  issue: StandardIssue,
  sources: ReadonlyMap<string, string>,
  keys: ReadonlySet<string>,
): Problem {
  const parts = issuePath(issue).map(String)
  const [key] = parts
  const path = [name, ...parts].join('.')
  const source = key === undefined ? undefined : sources.get(key)
  // The message is the schema's own; the value is left out, since nobody told which of them are secret.
  const message = oneLine(issue.message)
  if (source !== undefined || key === undefined) {
    return { path, source: source ?? 'not set', expected: message, sentence: true }
  }
  const variable = parts.length === 1 && keys.has(key) ? `${variableName(name, key)}, or ` : ''
  return {
    path,
    source: 'not set',
    expected: `${message}; set ${variable}${path} in ${file}`,
    sentence: true,
  }
}

function entry(section: string, key: string, value: unknown, source: string): Entry {
  // Which texts are secret is not known here, so none is shown.
  const shown = typeof value === 'number' || typeof value === 'boolean' ? String(value) : REDACTED
  return { path: `${section}.${key}`, shown, source, doc: '' }
}

/** Names of an object schema's keys, where the library tells: zod's `shape`, valibot's `entries`. */
function schemaKeys(schema: StandardSchema): readonly string[] {
  const { shape, entries } = schema as { readonly shape?: unknown; readonly entries?: unknown }
  const object = shape ?? entries
  return typeof object === 'object' && object !== null ? Object.keys(object) : []
}

export function variableName(section: string, key: string): string {
  return `${yamlKey(section)}_${yamlKey(key)}`.replaceAll(/[^A-Za-z0-9_]/g, '_').toUpperCase()
}

/** Texts under a name that sounds like a secret, at any level. */
function secretTexts(values: Readonly<Record<string, unknown>>): readonly string[] {
  return Object.entries(values).flatMap(([key, value]) => {
    if (typeof value === 'string') return isSecretName(key) ? [value] : []
    return isMapping(value) ? secretTexts(value) : []
  })
}

function isSet(value: unknown): boolean {
  return value !== undefined && value !== null
}

function oneLine(text: string): string {
  return text.replaceAll(/\s+/g, ' ').slice(0, 300)
}
