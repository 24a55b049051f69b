/**
 * CloudEvents 1.0 in binary mode (https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md): the attributes of
 * a message travel as its headers, each under a prefix that belongs to the protocol, and the body is the data as it is.
 *
 *     AMQP    cloudEvents:id, cloudEvents:source, …   also read as cloudEvents_id, which is the newer spelling
 *     Kafka   ce_id, ce_source, …
 *
 * The content type has a place of its own in each protocol and is no header here. Values are written as text.
 */
import { SluiceError } from './errors.ts'

export interface CloudEvent {
  /** Unique together with `source`: what a consumer knows a second delivery by. */
  readonly id: string
  /** Who published it: a URI reference, such as the name of the app. */
  readonly source: string
  /** What happened: `post.created`. */
  readonly type: string
  /** When it happened, as RFC 3339. */
  readonly time?: string | undefined
  /** What it happened to, within the source. */
  readonly subject?: string | undefined
  /** URI of the schema of the data. */
  readonly dataschema?: string | undefined
  /** Version of the data of this type: a whole number from 1. An extension. */
  readonly schemaversion?: number | undefined
  /** W3C trace context, the extension "distributed tracing". */
  readonly traceparent?: string | undefined
  readonly tracestate?: string | undefined
  /** Any other attributes: names of lower-case letters and digits. */
  readonly extensions?: Readonly<Record<string, string>> | undefined
}

export const AMQP_PREFIX = 'cloudEvents:'
export const KAFKA_PREFIX = 'ce_'
/** What each protocol's prefix may look like in messages of others. */
export const AMQP_PREFIXES = ['cloudEvents:', 'cloudEvents_'] as const
export const KAFKA_PREFIXES = ['ce_'] as const

type Writable<T> = { -readonly [K in keyof T]: T[K] }

const SPEC_VERSION = '1.0'
const OPTIONAL = ['time', 'subject', 'dataschema', 'traceparent', 'tracestate'] as const
const NAMED = ['id', 'source', 'type', ...OPTIONAL] as const
const REQUIRED: ReadonlySet<string> = new Set(['id', 'source', 'type'])
/** Without extensions. */
export const ATTRIBUTES: readonly string[] = ['specversion', 'schemaversion', ...NAMED]
const KNOWN = new Set<string>([...ATTRIBUTES, 'datacontenttype', 'data'])
const NAME = /^[a-z0-9]{1,40}$/
const MAX_TEXT = 1_024

/** Names as they are written: made once, as putting them together for each message takes longer than all the rest. */
const WRITTEN: ReadonlyMap<string, ReadonlyMap<string, string>> = new Map(
  [AMQP_PREFIX, KAFKA_PREFIX].map((prefix) => [
    prefix,
    new Map(ATTRIBUTES.map((name) => [name, prefix + name])),
  ]),
)

/** Names as they are read, in the spellings of each protocol. */
const READ: ReadonlyMap<readonly string[], ReadonlyMap<string, string>> = new Map(
  [AMQP_PREFIXES, KAFKA_PREFIXES].map((prefixes: readonly string[]) => [
    prefixes,
    new Map(prefixes.flatMap((prefix) => ATTRIBUTES.map((name) => [prefix + name, name]))),
  ]),
)

/** The headers of an event, under names with this prefix. Throws as `eachAttribute` does. */
export function cloudEventHeaders(event: CloudEvent, prefix: string): Record<string, string> {
  const headers: Record<string, string> = {}
  const names = WRITTEN.get(prefix)
  eachAttribute(event, (name, text) => (headers[names?.get(name) ?? prefix + name] = text))
  return headers
}

/**
 * Hands over each attribute of an event that is there. Throws SLUICE_INVALID_ARGUMENT where one is missing, empty, longer
 * than 1,024 characters, holds a control character, or an extension's name is not of the specification.
 */
export function eachAttribute(event: CloudEvent, put: (name: string, text: string) => void): void {
  put('specversion', SPEC_VERSION)
  for (const name of NAMED) {
    const value = event[name]
    if (value !== undefined) put(name, checkText(name, value))
    else if (REQUIRED.has(name)) throw invalid(name, 'text', value)
  }
  const { schemaversion, extensions } = event
  if (schemaversion !== undefined) {
    if (!Number.isSafeInteger(schemaversion) || schemaversion < 1)
      throw invalid('schemaversion', 'a whole number from 1', schemaversion)
    put('schemaversion', String(schemaversion))
  }
  if (extensions === undefined) return
  for (const name of Object.keys(extensions)) {
    if (!NAME.test(name) || KNOWN.has(name))
      throw invalid(
        `extension "${name}"`,
        'a name of up to 40 lower-case letters and digits of its own',
        name,
      )
    put(name, checkText(`extension "${name}"`, extensions[name]))
  }
}

/**
 * Reads the envelope of a message. Undefined where there is none, which is a message of others: it has no `specversion`.
 * Throws SLUICE_INVALID_DATA for an envelope that breaks the specification; no value is in the text.
 */
export function readCloudEvent(
  headers: Readonly<Record<string, unknown>>,
  prefixes: readonly string[],
): CloudEvent | undefined {
  const known = new Map<string, string>()
  const extensions: [string, string][] = []
  const names = READ.get(prefixes)
  for (const header of Object.keys(headers)) {
    const name = names?.get(header) ?? nameOf(header, prefixes)
    if (name === undefined) continue
    const text = asText(headers[header])
    if (text === undefined) continue
    if (KNOWN.has(name)) known.set(name, text)
    else extensions.push([name, text])
  }
  const version = known.get('specversion')
  if (version === undefined) return undefined
  if (!version.startsWith('1.')) throw broken('specversion', 'is not 1.x')
  const number = known.get('schemaversion')
  const schemaversion = number === undefined ? undefined : Number(number)
  const event: Writable<CloudEvent> = {
    id: required('id', known),
    source: required('source', known),
    type: required('type', known),
  }
  for (const name of OPTIONAL) {
    const value = known.get(name)
    if (value !== undefined) event[name] = value
  }
  if (schemaversion !== undefined) {
    if (!Number.isSafeInteger(schemaversion) || schemaversion < 1)
      throw broken('schemaversion', 'is no whole number from 1')
    event.schemaversion = schemaversion
  }
  if (extensions.length > 0) event.extensions = Object.fromEntries(extensions)
  return event
}

function required(name: string, known: ReadonlyMap<string, string>): string {
  const value = known.get(name) ?? ''
  if (value === '') throw broken(name, 'is missing or empty')
  return value
}

/** Is this header one of the envelope's? */
export function isCloudEventHeader(name: string, prefixes: readonly string[]): boolean {
  return prefixes.some((prefix) => name.startsWith(prefix))
}

function nameOf(header: string, prefixes: readonly string[]): string | undefined {
  const prefix = prefixes.find((each) => header.startsWith(each))
  return prefix === undefined ? undefined : header.slice(prefix.length)
}

/** Writers in other languages use what their protocol has: bytes, numbers, times. */
function asText(value: unknown): string | undefined {
  if (typeof value === 'string') return value
  if (Buffer.isBuffer(value)) return value.toString()
  if (typeof value === 'number' || typeof value === 'boolean' || typeof value === 'bigint')
    return String(value)
  if (value instanceof Date && !Number.isNaN(value.getTime())) return value.toISOString()
  return undefined
}

/** What nearly every attribute is made of; the rest is looked at more closely. */
const PLAIN = /^[\x20-\x7e]+$/

function checkText(name: string, value: unknown): string {
  if (typeof value === 'string' && value.length <= MAX_TEXT) {
    if (PLAIN.test(value)) return value
    if (value !== '' && !/\p{Cc}/u.test(value) && value.isWellFormed()) return value
  }
  throw invalid(name, `text of 1 to ${MAX_TEXT} characters without control characters`, value)
}

function invalid(name: string, expected: string, got: unknown): SluiceError {
  const shown = typeof got === 'string' ? `${got.length} characters` : typeof got
  return new SluiceError('SLUICE_INVALID_ARGUMENT', `envelope ${name}: expected ${expected}, got ${shown}`)
}

function broken(name: string, what: string): SluiceError {
  return new SluiceError('SLUICE_INVALID_DATA', `envelope: the attribute "${name}" ${what}`)
}
