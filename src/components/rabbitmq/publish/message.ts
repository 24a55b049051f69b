/** From what the user publishes to what is sent, and what is refused before it is: a message that the driver cannot write would cost the channel. */
import { randomUUID } from 'node:crypto'
import { AMQP_PREFIX, cloudEventHeaders } from '../../../core/cloud-events.ts'
import { durationMs, type Duration } from '../../../core/duration.ts'
import { invalidArgument, SluiceError, toError } from '../../../core/errors.ts'
import type { CallOptions } from '../../../telemetry/operate.ts'
import type { Envelope } from '../connect/driver.ts'
import { planDelay, type DelayPlan } from '../topology/delay-levels.ts'
import { BROKER_HEADERS, delayName, HEADER, PREFIX, toExchange } from '../topology/names.ts'

export interface PublishOptions extends Pick<CallOptions, 'signal' | 'timeout'> {
  /** Known by it when it comes twice: up to 255 bytes. @default a new UUID */
  readonly id?: string
  /** What happened. @default the topic */
  readonly type?: string
  /** What it happened to. @default none */
  readonly subject?: string
  /** Version of the data of this type, from 1. @default none */
  readonly version?: number
  /** When it happened. @default now */
  readonly time?: Date
  /** W3C trace context that it belongs to. @default that of the caller */
  readonly traceparent?: string
  /** Further attributes of the envelope: names of lower-case letters and digits. @default none */
  readonly extensions?: Readonly<Record<string, string>>
  /** Headers of yours: at most 50, 8,000 characters; none that begins with `sluice-`, `cloudEvents` or `x-death`. */
  readonly headers?: Readonly<Record<string, string | number | boolean>>
  /** @default 'application/json'; of bytes 'application/octet-stream' */
  readonly contentType?: string
  /** Handed out after this long, up to thirty days, in tenths of a second. @default at once */
  readonly delay?: Duration
  /** 0 (first) to 9, in subscriptions with `priorities`. @default 5 */
  readonly priority?: number
  /** Thrown away by the broker when it lay in a queue for this long. @default never */
  readonly expires?: Duration
  /** Another exchange, which must be there. @default that of the component */
  readonly exchange?: string
  /** Reject with SLUICE_UNROUTABLE when no queue wants it. @default true */
  readonly mandatory?: boolean
  /** Survives a restart of the broker. @default true */
  readonly persistent?: boolean
  /** For answers. @default none */
  readonly correlationId?: string
  readonly replyTo?: string
}

/** A message that can be sent. */
export interface Frame {
  readonly id: string
  readonly exchange: string
  readonly envelope: Envelope & { readonly headers: Record<string, unknown> }
  readonly body: Buffer
  /** Where it waits first; undefined for one that is sent at once. */
  readonly delay: DelayPlan | undefined
}

export interface FrameContext {
  readonly exchange: string
  /** The `source` of the envelope. */
  readonly source: string
  readonly maxBytes: number
  readonly now: () => Date
}

const MAX_KEY_BYTES = 255
const MAX_HEADERS = 50
const MAX_HEADER_CHARACTERS = 8_000
const MAX_PRIORITY = 9
const DEFAULT_PRIORITY = 5

/** Throws SLUICE_INVALID_ARGUMENT, SLUICE_INVALID_DATA, SLUICE_TOO_LARGE or SLUICE_UNSUPPORTED. */
export function toFrame(topic: string, data: unknown, options: PublishOptions, context: FrameContext): Frame {
  const { exchange = context.exchange, mandatory = true, persistent = true, delay, priority } = options
  checkKey('topic', topic)
  if (options.exchange !== undefined) checkKey('exchange', exchange)
  const id = options.id ?? randomUUID()
  checkKey('id', id)
  const body = bodyOf(data, context.maxBytes)
  const time = options.time ?? context.now()
  if (!(time instanceof Date) || Number.isNaN(time.getTime()))
    throw invalidArgument('time', 'a valid Date', time)
  const contentType = options.contentType ?? (isBytes(data) ? 'application/octet-stream' : 'application/json')
  const plan = delay === undefined ? undefined : delayOf(delay, exchange, context.exchange)
  const { headers: own, subject, version, extensions, expires, correlationId, replyTo, traceparent } = options
  // One object after another, and no spreading: this runs for each message.
  const headers: Record<string, unknown> = cloudEventHeaders(
    {
      id,
      source: context.source,
      type: options.type ?? topic,
      time: time.toISOString(),
      subject,
      schemaversion: version,
      traceparent,
      extensions,
    },
    AMQP_PREFIX,
  )
  if (traceparent !== undefined) headers['traceparent'] = traceparent
  if (own !== undefined) Object.assign(headers, checkHeaders(own))
  if (plan !== undefined) Object.assign(headers, plan.headers, { [HEADER.exchange]: exchange })
  const first = plan === undefined ? exchange : delayName(plan.level)
  const envelope: Frame['envelope'] = {
    exchange: first,
    routingKey: topic,
    mandatory,
    durable: persistent,
    messageId: id,
    contentType: checkShort('contentType', contentType),
    priority: priorityOf(priority),
    headers,
  }
  if (expires !== undefined) envelope.expiration = expiryOf(expires, plan)
  if (correlationId !== undefined) envelope.correlationId = checkShort('correlationId', correlationId)
  if (replyTo !== undefined) envelope.replyTo = checkShort('replyTo', replyTo)
  return { id, exchange: first, body, delay: plan, envelope }
}

/** AMQP counts the other way round: 9 is the first. */
export const wirePriority = (priority: number): number => MAX_PRIORITY - priority

function priorityOf(priority: number | undefined): number {
  if (priority === undefined) return wirePriority(DEFAULT_PRIORITY)
  if (Number.isInteger(priority) && priority >= 0 && priority <= MAX_PRIORITY) return wirePriority(priority)
  throw invalidArgument('priority', 'a whole number from 0 to 9', priority)
}

function delayOf(delay: Duration, exchange: string, own: string): DelayPlan | undefined {
  const ms = durationMs(delay, 'delay')
  if (ms === 0) return undefined
  if (exchange === own) return planDelay(ms, toExchange(exchange))
  throw new SluiceError('SLUICE_UNSUPPORTED', `delay: only through the exchange "${own}" of the component`, {
    hint: 'Publish to its own exchange, or bind the other one to it.',
  })
}

function expiryOf(expires: Duration, plan: DelayPlan | undefined): string {
  if (plan !== undefined) {
    throw new SluiceError('SLUICE_UNSUPPORTED', 'expires: a delayed message would expire while it waits', {
      hint: 'Give it a time of its own in the data, and let the handler look.',
    })
  }
  return String(Math.ceil(durationMs(expires, 'expires')))
}

function isBytes(data: unknown): data is Uint8Array {
  return data instanceof Uint8Array
}

function bodyOf(data: unknown, maxBytes: number): Buffer {
  let body: Buffer
  if (Buffer.isBuffer(data)) body = data
  else if (isBytes(data)) body = Buffer.from(data.buffer, data.byteOffset, data.byteLength)
  else {
    let json: string | undefined
    try {
      json = JSON.stringify(data)
    } catch (error) {
      throw new SluiceError('SLUICE_INVALID_DATA', 'data: cannot be written as JSON', {
        cause: toError(error),
      })
    }
    if (json === undefined) throw new SluiceError('SLUICE_INVALID_DATA', 'data: is no data that JSON knows')
    body = Buffer.from(json)
  }
  if (body.length <= maxBytes) return body
  throw new SluiceError('SLUICE_TOO_LARGE', `data: ${body.length} bytes, and the limit is ${maxBytes}`, {
    hint: 'Store large things elsewhere and publish where they are, or raise MQ_MAX_MESSAGE_BYTES.',
    details: { bytes: body.length, maxBytes },
  })
}

/** Routing keys, names of exchanges and queues, ids: what AMQP writes with one byte of length. */
export function checkKey(what: string, value: unknown): string {
  if (value === '') throw invalidArgument(what, `text of 1 to ${MAX_KEY_BYTES} bytes`, value)
  return checkShort(what, value)
}

function checkShort(what: string, value: unknown): string {
  // Three bytes for a character at most: the exact number is needed near the limit only.
  if (typeof value === 'string' && value.length <= MAX_KEY_BYTES / 3 && value.isWellFormed()) return value
  if (typeof value === 'string' && value.isWellFormed() && Buffer.byteLength(value) <= MAX_KEY_BYTES)
    return value
  throw invalidArgument(
    what,
    `text of up to ${MAX_KEY_BYTES} bytes`,
    typeof value === 'string' ? `${value.length} characters` : typeof value,
  )
}

/** Is this header one of ours, of the envelope, or of the broker? */
export function isReserved(name: string): boolean {
  return (
    name.startsWith(PREFIX) ||
    name.startsWith('cloudEvents') ||
    BROKER_HEADERS.has(name) ||
    name === 'CC' ||
    name === 'BCC'
  )
}

function checkHeaders(headers: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  const entries = Object.entries(headers)
  if (entries.length > MAX_HEADERS) throw invalidArgument('headers', `at most ${MAX_HEADERS}`, entries.length)
  let characters = 0
  for (const [name, value] of entries) {
    checkKey('headers: a name', name)
    if (isReserved(name)) throw invalidArgument('headers', 'names that are not reserved', name)
    const isText = typeof value === 'string' && value.isWellFormed()
    if (!isText && typeof value !== 'boolean' && !(typeof value === 'number' && Number.isFinite(value)))
      throw invalidArgument(`headers: ${name}`, 'text, a finite number or a boolean', typeof value)
    characters += name.length + String(value).length
  }
  if (characters > MAX_HEADER_CHARACTERS)
    throw invalidArgument('headers', `at most ${MAX_HEADER_CHARACTERS} characters`, characters)
  return headers
}
