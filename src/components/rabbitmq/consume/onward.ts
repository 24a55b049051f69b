/**
 * A message that failed, sent on: back to its queue after a delay, or to the dead letters, with its bytes as they came. It
 * is confirmed there before it is acknowledged here, so that it is in at least one of the two places at any time.
 */
import { isSluiceError, toError } from '../../../core/errors.ts'
import type { Envelope } from '../connect/driver.ts'
import { BROKER_HEADERS, deadQueueOf, delayName, HEADER, isDelayHeader, toQueue } from '../topology/names.ts'
import { planDelay } from '../topology/delay-levels.ts'
import type { Frame } from '../publish/message.ts'
import type { Delivery, RawMessage } from './message.ts'

const MAX_REASON = 1_000

/** To the queue itself, after a while; with a delay of 0 at once. */
export function retryFrame(
  delivery: Delivery,
  queue: string,
  delayMs: number,
  counts: { attempts: number; redeliveries: number },
): Frame {
  const plan = delayMs > 0 ? planDelay(delayMs, toQueue(queue)) : undefined
  const headers = {
    ...keptHeaders(delivery.raw),
    [HEADER.attempts]: String(counts.attempts),
    ...(counts.redeliveries > 0 ? { [HEADER.redeliveries]: String(counts.redeliveries) } : {}),
    ...plan?.headers,
  }
  const to =
    plan === undefined ? { exchange: '', key: queue } : { exchange: delayName(plan.level), key: queue }
  return frameOf(delivery.raw, envelopeOf(delivery, to, headers), plan)
}

/** To the dead letters of the queue. */
export function deadFrame(
  delivery: Delivery,
  queue: string,
  error: unknown,
  attempts: number,
  at: Date,
): Frame {
  const failure = toError(error)
  const headers = {
    ...keptHeaders(delivery.raw),
    [HEADER.attempts]: String(attempts),
    [HEADER.deadReason]: failure.message.slice(0, MAX_REASON).toWellFormed(),
    [HEADER.deadCode]: isSluiceError(failure) ? failure.code : failure.name,
    [HEADER.deadAt]: at.toISOString(),
  }
  return frameOf(
    delivery.raw,
    envelopeOf(delivery, { exchange: '', key: deadQueueOf(queue) }, headers),
    undefined,
  )
}

/** Its place of origin, and what its sender wrote; without what the broker and we wrote on the way. */
function keptHeaders(raw: RawMessage): Record<string, unknown> {
  const kept: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(raw.headers)) {
    const isOnTheWay = BROKER_HEADERS.has(name) || name.startsWith('sluice-dead-') || isDelayHeader(name)
    if (!isOnTheWay) kept[name] = value
  }
  // They would send copies to other queues once more.
  delete kept['CC']
  delete kept['BCC']
  delete kept[HEADER.redeliveries]
  kept[HEADER.topic] = raw.topic
  kept[HEADER.exchange] = raw.exchange
  return kept
}

function envelopeOf(
  { delivered, raw }: Delivery,
  { exchange, key }: { readonly exchange: string; readonly key: string },
  headers: Record<string, unknown>,
): Frame['envelope'] {
  const { messageId, contentEncoding, correlationId, replyTo, type, appId, timestamp, priority } = delivered
  const known: Envelope = {
    exchange,
    routingKey: key,
    mandatory: true,
    durable: true,
    ...(raw.contentType === undefined ? {} : { contentType: raw.contentType }),
    ...(messageId === undefined ? {} : { messageId }),
    ...(contentEncoding === undefined ? {} : { contentEncoding }),
    ...(correlationId === undefined ? {} : { correlationId }),
    ...(replyTo === undefined ? {} : { replyTo }),
    ...(type === undefined ? {} : { type }),
    ...(appId === undefined ? {} : { appId }),
    ...(timestamp === undefined ? {} : { timestamp }),
    ...(priority === undefined ? {} : { priority }),
  }
  return { ...known, headers }
}

function frameOf(raw: RawMessage, envelope: Frame['envelope'], delay: Frame['delay']): Frame {
  return { id: raw.messageId ?? '', exchange: envelope.exchange ?? '', envelope, body: raw.bytes, delay }
}

/** From the dead letters back to their queue, or to the exchange and topic that they were published to; counted anew. */
export function backFrame(delivery: Delivery, home: string | undefined): Frame {
  const { raw } = delivery
  const headers = keptHeaders(raw)
  delete headers[HEADER.attempts]
  const to = home === undefined ? { exchange: raw.exchange, key: raw.topic } : { exchange: '', key: home }
  return frameOf(raw, envelopeOf(delivery, to, headers), undefined)
}
