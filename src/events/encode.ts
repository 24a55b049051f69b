/** From what the user publishes to what is stored, and what is refused on the way. */
import { checkOptionNames } from '../config/known-options.ts'
import { boundedMs } from '../core/bounded-duration.ts'
import { invalidArgument } from '../core/errors.ts'
import { encodeJson } from '../core/json-data.ts'
import { checkData } from '../core/standard-schema.ts'
import { carrier } from '../telemetry/context.ts'
import type { EventInput } from './api.ts'
import type { EventType } from './event.ts'

/** What is stored beside the data, under short names. */
export interface EventHead {
  /** W3C trace context. */
  readonly t?: string
  /** Request id. */
  readonly r?: string
  /** Headers of the user. */
  readonly h?: Readonly<Record<string, string>>
  /** Of one that came from a broker: source and id of its envelope, and when it happened, in milliseconds since 1970. */
  readonly o?: { readonly s: string; readonly i: string; readonly t: number }
}

/** An event that may be stored, but for the id of its topic. */
export interface EncodedEvent {
  readonly topic: string
  readonly version: number
  readonly key: string | undefined
  readonly head: string | undefined
  readonly body: string
  /** Milliseconds to wait, and its turn among those that wait; undefined for one that is published at once. */
  readonly later: { readonly delayMs: number; readonly priority: number } | undefined
}

const MAX_MANY = 100_000
const MAX_KEY = 200
const MAX_HEADERS = 50
const MAX_HEADER_CHARACTERS = 8_000
const DEFAULT_PRIORITY = 5
/** A hundred years. */
const MAX_DELAY = '36525d'

const ITEM = ['data', 'key', 'headers', 'delay', 'priority'] as const
/** Of a single one, which is given with its options. */
const SINGLE = [...ITEM, 'tx', 'signal'] as const

/** Throws or rejects with SLUICE_INVALID_DATA, SLUICE_TOO_LARGE or SLUICE_INVALID_ARGUMENT. */
export function encodeEvent<Input>(
  type: EventType<Input, unknown>,
  input: EventInput<Input>,
  maxBytes: number,
): EncodedEvent | Promise<EncodedEvent> {
  checkOptionNames(`event "${type.topic}": options`, input, SINGLE)
  return encode(type, input, maxBytes)
}

function encode<Input>(
  type: EventType<Input, unknown>,
  input: EventInput<Input>,
  maxBytes: number,
): EncodedEvent | Promise<EncodedEvent> {
  const what = `event "${type.topic}"`
  // What is stored is what was given: readers run the schema again, and a transform must not run twice on the same data.
  const checked = checkData(type.schema, input.data, what)
  // What follows may throw before it is waited for.
  if (checked instanceof Promise) checked.catch(() => {})
  const { text, changed } = encodeJson(input.data, { maxBytes, setting: 'EVENTS_MAX_BODY_SIZE' }, what)
  const encoded: EncodedEvent = {
    topic: type.topic,
    version: type.version,
    key: checkKey(what, input.key),
    head: headOf(what, input.headers),
    body: text,
    later: laterOf(what, input),
  }
  // Readers get what JSON made of it, such as the text of a Date: that has to fit as well.
  const again = changed ? checkData(type.schema, JSON.parse(text), what) : undefined
  if (!(checked instanceof Promise) && !(again instanceof Promise)) return encoded
  return Promise.all([checked, again]).then(() => encoded)
}

/** The same of many, at most 100,000. */
export async function encodeAll<Input>(
  type: EventType<Input, unknown>,
  items: readonly EventInput<Input>[],
  maxBytes: number,
  options: object = {},
): Promise<readonly EncodedEvent[]> {
  checkOptionNames('publishMany: options', options, ['tx', 'signal'])
  if (!Array.isArray(items) || items.length > MAX_MANY)
    throw invalidArgument('publishMany: items', `at most ${MAX_MANY}`, items.length)
  const events: EncodedEvent[] = []
  for (const [index, item] of items.entries()) {
    checkOptionNames(`publishMany: items[${index}]`, item, ITEM)
    const encoded = encode(type, item, maxBytes)
    events.push(encoded instanceof Promise ? await encoded : encoded)
  }
  return events
}

/** PostgreSQL stores neither NUL nor half a surrogate pair. */
function isStorable(text: unknown): text is string {
  return typeof text === 'string' && text.isWellFormed() && !text.includes('\0')
}

function checkKey(what: string, key: unknown): string | undefined {
  if (key === undefined) return undefined
  if (isStorable(key) && key !== '' && key.length <= MAX_KEY) return key
  throw invalidArgument(`${what}: key`, `text of 1 to ${MAX_KEY} characters`, key)
}

function headOf(what: string, headers: Readonly<Record<string, string>> | undefined): string | undefined {
  const { traceparent, requestId } = carrier()
  if (headers === undefined && traceparent === undefined && requestId === undefined) return undefined
  const head: EventHead = {
    ...(traceparent === undefined ? {} : { t: traceparent }),
    ...(requestId === undefined ? {} : { r: requestId }),
    ...(headers === undefined ? {} : { h: checkHeaders(what, headers) }),
  }
  return JSON.stringify(head)
}

function checkHeaders(
  what: string,
  headers: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  const entries = Object.entries(headers)
  if (entries.length > MAX_HEADERS) {
    throw invalidArgument(`${what}: headers`, `at most ${MAX_HEADERS}`, entries.length)
  }
  let characters = 0
  for (const [name, value] of entries) {
    if (!isStorable(name) || !isStorable(value)) {
      throw invalidArgument(`${what}: headers`, 'texts that can be stored', name)
    }
    characters += name.length + value.length
  }
  if (characters > MAX_HEADER_CHARACTERS) {
    throw invalidArgument(`${what}: headers`, `at most ${MAX_HEADER_CHARACTERS} characters`, characters)
  }
  return headers
}

function laterOf(what: string, { delay, priority }: EventInput<unknown>): EncodedEvent['later'] {
  if (priority !== undefined && (!Number.isSafeInteger(priority) || priority < 0 || priority > 9)) {
    throw invalidArgument(`${what}: priority`, 'a whole number from 0 to 9', priority)
  }
  const delayMs = delay === undefined ? 0 : boundedMs(delay, `${what}: delay`, 0, MAX_DELAY)
  if (delayMs === 0 && priority === undefined) return undefined
  return { delayMs, priority: priority ?? DEFAULT_PRIORITY }
}
