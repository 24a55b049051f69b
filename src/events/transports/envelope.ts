/** From what a broker hands over to an event, and what is refused on the way: its message is a dead letter with its bytes. */
import { SluiceError, toError } from '../../core/errors.ts'
import { isTopic } from '../event.ts'
import type { Arrival, ForeignMapping, ForeignMessage, MappedEvent } from './broker.ts'

/** What is read of an envelope. */
export interface Enveloped {
  readonly id: string
  readonly source: string
  readonly topic: string
  readonly version: number | undefined
  readonly key: string | undefined
  readonly time: Date | undefined
  readonly headers: Readonly<Record<string, unknown>>
  readonly traceparent: string | undefined
  readonly requestId: string | undefined
  readonly contentType: string | undefined
  readonly bytes: Buffer
}

type Context = Pick<Arrival, 'attempt' | 'signal'>

/** Extensions of the envelope. */
export const KEY = 'partitionkey'
export const REQUEST_ID = 'requestid'

const MAX_KEY = 200
const MAX_HEADERS = 100
const MAX_HEADER_CHARACTERS = 32_000
const MAX_ID = 1_024
const MAX_VERSION = 1_000
const JSON_TYPE = /^application\/(?:[\w.+-]+\+)?json\b/i

/** Throws SLUICE_INVALID_DATA. */
export function arrivalOf(message: Enveloped, context: Context): Arrival {
  const { id, source, topic, key, contentType, bytes, version = 1 } = message
  if (contentType !== undefined && !JSON_TYPE.test(contentType))
    throw refused(`its content type is ${contentType.slice(0, 80)}, and events are JSON`)
  const body = textOf(bytes)
  if (!isJson(body)) throw refused('its body is no JSON')
  return checked({ ...message, id, source, topic, key, version, body }, context)
}

/** An event that a mapping made of a message without an envelope; undefined where it is left aside. Throws SLUICE_INVALID_DATA. */
export function mappedArrival(
  message: ForeignMessage,
  map: ForeignMapping | undefined,
  context: Context,
): Arrival | undefined {
  if (map === undefined) throw refused('it has no CloudEvents envelope, and there is no mapping')
  const mapped = run(map, message)
  if (mapped === undefined) return undefined
  const body = JSON.stringify(mapped.data) as string | undefined
  if (body === undefined) throw refused('the mapping gave no data that JSON knows')
  const { id = message.id, source = 'foreign', topic, key = message.key, version = 1, time } = mapped
  return checked(
    {
      id,
      source,
      topic,
      key,
      version,
      time,
      body,
      headers: mapped.headers ?? {},
      traceparent: undefined,
      requestId: undefined,
    },
    context,
  )
}

/** What a mapping throws it would throw again. */
function run(map: ForeignMapping, message: ForeignMessage): MappedEvent | undefined {
  try {
    return map(message)
  } catch (error) {
    throw new SluiceError('SLUICE_INVALID_DATA', toError(error).message, { cause: error })
  }
}

type Unchecked = Omit<Arrival, keyof Context | 'headers' | 'time'> & Pick<Enveloped, 'headers' | 'time'>

function checked(event: Unchecked, { attempt, signal }: Context): Arrival {
  const { id, source, topic, version, key, body, traceparent, requestId, time = new Date() } = event
  if (!isTopic(topic))
    throw refused('its type is no topic: words of letters, digits, _ and -, joined by dots')
  if (!isText(id, MAX_ID)) throw refused('it has no id')
  if (!isText(source, MAX_ID)) throw refused('it has no source')
  if (key !== undefined && !isText(key, MAX_KEY))
    throw refused(`its key is no text of 1 to ${MAX_KEY} characters`)
  if (!Number.isSafeInteger(version) || version < 1 || version > MAX_VERSION)
    throw refused(`its version is no whole number from 1 to ${MAX_VERSION}`)
  const headers = headersOf(event.headers)
  return { id, source, topic, version, key, body, headers, traceparent, requestId, time, attempt, signal }
}

function headersOf(headers: Readonly<Record<string, unknown>>): Readonly<Record<string, string>> {
  const texts: [string, string][] = []
  let characters = 0
  for (const [name, value] of Object.entries(headers)) {
    if (name === 'traceparent' || name === 'tracestate' || name === 'content-type') continue
    const text = typeof value === 'number' || typeof value === 'boolean' ? String(value) : value
    if (typeof text !== 'string') continue
    characters += name.length + text.length
    texts.push([name, text.toWellFormed()])
  }
  if (texts.length > MAX_HEADERS || characters > MAX_HEADER_CHARACTERS)
    throw refused(`its headers are more than ${MAX_HEADERS}, or ${MAX_HEADER_CHARACTERS} characters`)
  return Object.fromEntries(texts)
}

const UTF8 = new TextDecoder('utf-8', { fatal: true })

function textOf(bytes: Buffer): string {
  try {
    return UTF8.decode(bytes)
  } catch {
    throw refused('its body is no UTF-8')
  }
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

/** What PostgreSQL stores: neither NUL nor half a surrogate pair. */
function isText(text: unknown, most: number): text is string {
  return (
    typeof text === 'string' &&
    text !== '' &&
    text.length <= most &&
    text.isWellFormed() &&
    !text.includes('\0')
  )
}

/** It will not be another the next time. */
export function refused(why: string): SluiceError {
  return new SluiceError('SLUICE_INVALID_DATA', `a message is no event: ${why}`)
}
