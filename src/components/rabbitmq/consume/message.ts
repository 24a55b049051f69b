/** What a handler sees of a message, and what must be known of it to try it again. */
import { AMQP_PREFIXES, readCloudEvent, type CloudEvent } from '../../../core/cloud-events.ts'
import { SluiceError } from '../../../core/errors.ts'
import { checkData, type StandardSchema } from '../../../core/standard-schema.ts'
import { bodyOf, type Delivered } from '../connect/driver.ts'
import { isReserved } from '../publish/message.ts'
import { HEADER } from '../topology/names.ts'
import { deathOf } from './death.ts'

/** A message as it came, for mapping those of others. */
export interface RawMessage {
  /** The routing key that it was published with. */
  readonly topic: string
  readonly exchange: string
  readonly bytes: Buffer
  readonly contentType: string | undefined
  readonly contentEncoding: string | undefined
  readonly headers: Readonly<Record<string, unknown>>
  readonly messageId: string | undefined
  /** The `type` property. */
  readonly type: string | undefined
  readonly appId: string | undefined
  /** The `timestamp` property. */
  readonly timestamp: Date | undefined
  readonly correlationId: string | undefined
  readonly replyTo: string | undefined
}

/** What is made of a message without an envelope; what is left out is read from the message as well as it can be. */
export interface MappedMessage {
  readonly id?: string
  readonly type?: string
  readonly source?: string
  readonly time?: Date
  readonly data?: unknown
}

export interface RabbitMessage<T = unknown> {
  /** By it a second delivery is known. Empty where the sender gave none. */
  readonly id: string
  /** The routing key that it was published with. */
  readonly topic: string
  readonly exchange: string
  readonly type: string
  readonly source: string
  readonly subject: string | undefined
  /** Version of the data. */
  readonly version: number | undefined
  readonly time: Date | undefined
  readonly data: T
  /** The body as it came. */
  readonly bytes: Buffer
  readonly contentType: string | undefined
  /** Of the sender. */
  readonly headers: Readonly<Record<string, unknown>>
  /** Further attributes of the envelope. */
  readonly extensions: Readonly<Record<string, string>>
  /** 1 for the first. Counts attempts that failed, not deliveries that were cut off. */
  readonly attempt: number
  /** True where an earlier delivery may have been under way when its connection ended. */
  readonly redelivered: boolean
  readonly correlationId: string | undefined
  readonly replyTo: string | undefined
  readonly traceparent: string | undefined
  /** Aborts at the handler's deadline and when the subscription has no more time to finish. */
  readonly signal: AbortSignal
}

/** The facts of a delivery that do not depend on whether its data can be read. */
export interface Delivery {
  readonly raw: RawMessage
  readonly delivered: Delivered
  /** Attempts that failed before. */
  readonly failedAttempts: number
  /** Deliveries that ended without an answer. */
  readonly redeliveries: number
}

export interface ReadOptions {
  readonly queue: string
  readonly schema: StandardSchema | undefined
  readonly map: ((raw: RawMessage) => MappedMessage) | undefined
}

export function readDelivery(delivered: Delivered): Delivery {
  const headers: Readonly<Record<string, unknown>> = delivered.headers ?? {}
  const { bytes, contentType } = bodyOf(delivered)
  const counted = countOf(headers['x-delivery-count'])
  const kept = countOf(headers[HEADER.redeliveries])
  const death = headers['x-death'] === undefined ? undefined : deathOf(headers)
  const raw: RawMessage = {
    topic: textOf(headers[HEADER.topic]) ?? death?.topic ?? delivered.routingKey,
    exchange: textOf(headers[HEADER.exchange]) ?? death?.exchange ?? delivered.exchange,
    bytes,
    contentType,
    contentEncoding: delivered.contentEncoding,
    headers,
    messageId: delivered.messageId,
    type: delivered.type,
    appId: delivered.appId,
    timestamp: delivered.timestamp === undefined ? undefined : new Date(delivered.timestamp * 1_000),
    correlationId: delivered.correlationId,
    replyTo: delivered.replyTo,
  }
  return {
    raw,
    delivered,
    failedAttempts: countOf(headers[HEADER.attempts]) ?? 0,
    redeliveries: counted === undefined ? (kept ?? 0) : counted + (kept ?? 0),
  }
}

/** Does the queue count deliveries that were cut off by itself? */
export const isCounted = (delivered: Delivered): boolean =>
  delivered.headers?.['x-delivery-count'] !== undefined

/** Throws or rejects with SLUICE_INVALID_DATA, or with what the mapping function threw. */
export function readMessage(delivery: Delivery, options: ReadOptions): Readable | Promise<Readable> {
  const { raw } = delivery
  const envelope = readCloudEvent(raw.headers, AMQP_PREFIXES)
  const mapped = envelope === undefined ? options.map?.(raw) : undefined
  const data = mapped !== undefined && 'data' in mapped ? mapped.data : dataOf(raw, options.queue)
  const checked =
    options.schema === undefined ? data : checkData(options.schema, data, `message of "${options.queue}"`)
  if (checked instanceof Promise)
    return checked.then((late) => new Readable(delivery, envelope, mapped, late))
  return new Readable(delivery, envelope, mapped, checked)
}

/** Getters, because most handlers look at few of these. */
export class Readable {
  readonly #delivery: Delivery
  readonly #envelope: CloudEvent | undefined
  readonly #mapped: MappedMessage | undefined
  readonly data: unknown
  /** Set before the handler runs. */
  call: { readonly signal: AbortSignal } | undefined

  constructor(
    delivery: Delivery,
    envelope: CloudEvent | undefined,
    mapped: MappedMessage | undefined,
    data: unknown,
  ) {
    this.#delivery = delivery
    this.#envelope = envelope
    this.#mapped = mapped
    this.data = data
  }

  get id(): string {
    return this.#envelope?.id ?? this.#mapped?.id ?? this.#delivery.raw.messageId ?? ''
  }
  get topic(): string {
    return this.#delivery.raw.topic
  }
  get exchange(): string {
    return this.#delivery.raw.exchange
  }
  get type(): string {
    const { raw } = this.#delivery
    return this.#envelope?.type ?? this.#mapped?.type ?? raw.type ?? raw.topic
  }
  get source(): string {
    return this.#envelope?.source ?? this.#mapped?.source ?? this.#delivery.raw.appId ?? ''
  }
  get subject(): string | undefined {
    return this.#envelope?.subject
  }
  get version(): number | undefined {
    return this.#envelope?.schemaversion
  }
  get time(): Date | undefined {
    const text = this.#envelope?.time
    if (text === undefined) return this.#mapped?.time ?? this.#delivery.raw.timestamp
    const time = new Date(text)
    return Number.isNaN(time.getTime()) ? undefined : time
  }
  get bytes(): Buffer {
    return this.#delivery.raw.bytes
  }
  get contentType(): string | undefined {
    return this.#delivery.raw.contentType
  }
  get headers(): Readonly<Record<string, unknown>> {
    return Object.fromEntries(
      Object.entries(this.#delivery.raw.headers).filter(([name]) => !isReserved(name)),
    )
  }
  get extensions(): Readonly<Record<string, string>> {
    return this.#envelope?.extensions ?? {}
  }
  get attempt(): number {
    return this.#delivery.failedAttempts + 1
  }
  get redelivered(): boolean {
    return this.#delivery.redeliveries > 0 || this.#delivery.delivered.redelivered
  }
  get correlationId(): string | undefined {
    return this.#delivery.raw.correlationId
  }
  get replyTo(): string | undefined {
    return this.#delivery.raw.replyTo
  }
  get traceparent(): string | undefined {
    return this.#envelope?.traceparent ?? textOf(this.#delivery.raw.headers['traceparent'])
  }
  get signal(): AbortSignal {
    return this.call!.signal
  }
}

/** JSON as data, text as text, everything else as bytes. */
function dataOf({ bytes, contentType = '', contentEncoding }: RawMessage, queue: string): unknown {
  if (contentEncoding !== undefined && !/^(utf-?8|identity|)$/i.test(contentEncoding)) return bytes
  if (/^application\/(?:[\w.+-]+\+)?json\b/i.test(contentType)) {
    try {
      return JSON.parse(bytes.toString()) as unknown
    } catch {
      // The error of JSON.parse repeats the text.
      throw new SluiceError(
        'SLUICE_INVALID_DATA',
        `message of "${queue}": its content type is ${contentType.slice(0, 80)} and its body is no JSON`,
      )
    }
  }
  return contentType.startsWith('text/') ? bytes.toString() : bytes
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}

/** Of a header that anybody may have written. */
function countOf(value: unknown): number | undefined {
  const count = typeof value === 'string' && /^\d{1,9}$/.test(value) ? Number(value) : value
  return typeof count === 'number' && Number.isSafeInteger(count) && count >= 0 ? count : undefined
}
