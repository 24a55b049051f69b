/** What a caller publishes, as the bytes that travel. Throws SLUICE_INVALID_ARGUMENT or SLUICE_TOO_LARGE. */
import { randomUUID } from 'node:crypto'
import { eachAttribute, type CloudEvent } from '../../../core/cloud-events.ts'
import { invalidArgument, SluiceError } from '../../../core/errors.ts'
import { bytesOf } from './bytes.ts'
import type { KnownTexts } from './known-texts.ts'

/** Bytes go as they are, a text as UTF-8, anything else as JSON. Null is a tombstone: it has a key and no value. */
export type KafkaValue = string | Uint8Array | null | boolean | number | object

/** The envelope of a message: CloudEvents 1.0, binary mode. Only `type` is needed. */
export type EventAttributes = Partial<Omit<CloudEvent, 'type'>> & Pick<CloudEvent, 'type'>

export interface MessageOptions {
  /** Messages of one key are in one partition, and in order. */
  readonly key?: string | Uint8Array
  /** Headers of your own; values are texts or bytes. */
  readonly headers?: Readonly<Record<string, string | Uint8Array>>
  /** @default by the key, as Java clients do; without one, a partition at a time for whole batches */
  readonly partition?: number
  /** When it happened. @default now */
  readonly timestamp?: number | Date
  /** Puts the attributes of a CloudEvent into headers. @default none */
  readonly event?: EventAttributes
}

/** One message of a batch. */
export interface KafkaRecord extends MessageOptions {
  readonly value: KafkaValue
}

export interface RawRecord {
  readonly topic: string
  readonly key: Buffer | undefined
  readonly value: Buffer | undefined
  readonly headers: Map<Buffer, Buffer> | undefined
  readonly partition: number | undefined
  readonly timestamp: bigint | undefined
  readonly bytes: number
}

export interface EncodeRules {
  readonly component: string
  /** Source of envelopes where none is given. */
  readonly source: string
  readonly maxBytes: number
  readonly texts: KnownTexts
}

const TOPIC = /^[a-zA-Z0-9._-]{1,249}$/
const CONTENT_TYPE = 'content-type'
/** What a record costs beside key, value and headers. */
const OVERHEAD = 24

/** `topic` was checked; `traceparent` is that of the caller, looked up once for a whole batch. */
export function encode(
  topic: string,
  record: KafkaRecord,
  rules: EncodeRules,
  traceparent: string | undefined,
): RawRecord {
  const { partition, timestamp } = record
  if (partition !== undefined && !(Number.isInteger(partition) && partition >= 0))
    throw invalidArgument('partition', 'a whole number from 0', partition)
  const key = record.key === undefined ? undefined : bytesOf('key', record.key)
  const isJson = isObject(record.value)
  const value = encodeValue(record.value)
  const headers = headersOf(record, isJson, rules, traceparent)
  let bytes = OVERHEAD + (key?.length ?? 0) + (value?.length ?? 0)
  if (headers !== undefined) for (const [name, text] of headers) bytes += name.length + text.length + 4
  if (bytes > rules.maxBytes) {
    throw new SluiceError(
      'SLUICE_TOO_LARGE',
      `${rules.component}: a message of ${bytes} bytes; the limit is ${rules.maxBytes}`,
      {
        hint: 'Raise KAFKA_MAX_MESSAGE_BYTES, KAFKA_BATCH_BYTES and the limits of the broker, or publish a reference.',
      },
    )
  }
  return { topic, key, value, headers, partition, timestamp: timeOf(timestamp), bytes }
}

export function checkTopic(topic: unknown): asserts topic is string {
  if (typeof topic !== 'string' || !TOPIC.test(topic) || topic === '.' || topic === '..')
    throw invalidArgument('topic', '1 to 249 letters, digits, dots, dashes and underscores', topic)
}

export function encodeValue(value: KafkaValue): Buffer | undefined {
  if (value === null) return undefined
  if (typeof value === 'string' || value instanceof Uint8Array) return bytesOf('value', value)
  let text: string | undefined
  try {
    text = JSON.stringify(value)
  } catch (cause) {
    throw new SluiceError('SLUICE_INVALID_ARGUMENT', 'value: expected what JSON can hold', { cause })
  }
  if (text === undefined)
    throw invalidArgument('value', 'text, bytes, null or what JSON can hold', typeof value)
  return Buffer.from(text)
}

function isObject(value: KafkaValue): boolean {
  return value !== null && typeof value !== 'string' && !(value instanceof Uint8Array)
}

function headersOf(
  { event, headers: own }: KafkaRecord,
  isJson: boolean,
  { source, texts }: EncodeRules,
  traceparent: string | undefined,
): Map<Buffer, Buffer> | undefined {
  if (event === undefined && own === undefined && traceparent === undefined) return undefined
  const headers = new Map<Buffer, Buffer>()
  for (const [name, value] of Object.entries(own ?? {}))
    headers.set(texts.name(name), texts.value(name, value))
  if (event !== undefined) {
    const { id = randomUUID(), time = new Date().toISOString() } = event
    const whole = { source, traceparent, ...event, id, time }
    eachAttribute(whole, (name, text) => headers.set(texts.attribute(name), texts.value(name, text)))
    if (isJson && own?.['content-type'] === undefined)
      headers.set(texts.name(CONTENT_TYPE), texts.value(CONTENT_TYPE, 'application/json'))
  } else if (traceparent !== undefined && own?.['traceparent'] === undefined)
    headers.set(texts.name('traceparent'), Buffer.from(traceparent))
  return headers
}

function timeOf(timestamp: number | Date | undefined): bigint | undefined {
  if (timestamp === undefined) return undefined
  const ms = typeof timestamp === 'number' ? timestamp : timestamp.getTime()
  if (!Number.isSafeInteger(ms) || ms < 0)
    throw invalidArgument('timestamp', 'milliseconds since 1970, or a date', ms)
  return BigInt(ms)
}
