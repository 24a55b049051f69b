/**
 * Events on RabbitMQ, by the rabbitmq component: an event is published to its exchange with its topic as routing key, and
 * a reader is a durable queue that is bound to its patterns.
 */
import type { RabbitMessage, RabbitMQ, RawMessage } from '../../components/rabbitmq/index.ts'
import { onAbort } from '../../core/abort.ts'
import { hasCode, SluiceError } from '../../core/errors.ts'
import { WorkerPool } from '../../pool/worker-pool.ts'
import type { Arrival, BrokerLetter, EventBroker, Reader, ReadOptions, WireEvent } from './broker.ts'
import { arrivalOf, KEY, mappedArrival, REQUEST_ID } from './envelope.ts'

export interface RabbitBrokerOptions {
  readonly mq: RabbitMQ
  /** An event that no queue takes: is it confirmed all the same? */
  readonly acceptUnroutable: boolean
  /** Called for each of those. */
  readonly onUnroutable: () => void
}

const PUBLISH_LIMIT = '30s'
const MAX_PREFETCH = 5_000
/** The longest that the component lets a handler run. */
const MAX_HANDLER_MS = 25 * 60_000
/** For our own limit of an attempt to be the first. */
const MARGIN_MS = 5_000
const MAX_BACKOFF_MS = 86_400_000
/** Deliveries that may be cut off: a broker that restarts often is no reason to give up an event. */
const REDELIVERIES = 1_000

export function rabbitBroker(options: RabbitBrokerOptions): EventBroker {
  const { mq } = options
  return {
    kind: 'rabbitmq',
    component: mq,
    binds: true,
    open: async () => {
      if (mq.status().connected) return
      throw new SluiceError('SLUICE_NOT_READY', `"${mq.name}" is not connected`, { retryable: true })
    },
    publish: async (events, { signal, delayMs }) => {
      const batch = mq.publishBatch(
        events.map((event) => messageOf(event, delayMs)),
        { timeout: PUBLISH_LIMIT },
      )
      // One listener for all: a signal with thousands takes longer for each of them than a publish.
      const release = onAbort(signal, (reason) => batch.cancel(reason))
      const { errors } = await batch.waitAll().finally(release)
      return errors.map((error) => {
        if (!hasCode(error, 'SLUICE_UNROUTABLE')) return error
        options.onUnroutable()
        return options.acceptUnroutable ? undefined : error
      })
    },
    read: (wanted) => read(mq, wanted),
    letters: async (name, { ids, limit }) => {
      const letters = await mq.deadLetters(name).list({ limit: ids === undefined ? limit : MAX_LISTED })
      const wanted = ids === undefined ? undefined : new Set(ids)
      return letters.filter(({ id }) => wanted?.has(id) ?? true).map(letterOf)
    },
    redrive: (name, choice) => mq.deadLetters(name).redrive(choiceOf(choice)),
    drop: (name, choice) => mq.deadLetters(name).drop(choiceOf(choice)),
  }
}

const MAX_LISTED = 1_000

function choiceOf({ ids, limit }: { readonly ids?: readonly string[] | undefined; readonly limit: number }): {
  ids?: readonly string[]
  limit: number
} {
  return ids === undefined ? { limit } : { ids, limit }
}

function messageOf(
  event: WireEvent,
  delayMs: number | undefined,
): Parameters<RabbitMQ['publishBatch']>[0][0] {
  const { id, topic, version, key, headers, traceparent, requestId, time, body } = event
  const extensions: Record<string, string> = {}
  if (key !== undefined) extensions[KEY] = key
  if (requestId !== undefined) extensions[REQUEST_ID] = requestId
  return {
    topic,
    data: Buffer.from(body),
    options: {
      id,
      version,
      time,
      headers,
      contentType: 'application/json',
      extensions,
      ...(traceparent === undefined ? {} : { traceparent }),
      ...(delayMs === undefined || delayMs === 0 ? {} : { delay: delayMs }),
    },
  }
}

/** A message without an envelope, on its way through the component. */
class Foreign {
  readonly raw: RawMessage

  constructor(raw: RawMessage) {
    this.raw = raw
  }
}

function read(mq: RabbitMQ, wanted: ReadOptions): Reader {
  const { name, patterns, concurrency, attempts, backoff, timeoutMs, exclusive, handle } = wanted
  const prefetch = Math.min(MAX_PREFETCH, concurrency)
  const workers = new WorkerPool({ name, workers: prefetch, maxWaiting: prefetch })
  const baseMs = Math.max(1, backoff.baseMs)
  const subscription = mq.subscribe(
    patterns,
    name,
    async (message) => {
      const arrival = eventOf(message, wanted)
      if (arrival !== undefined) await handle(arrival)
    },
    {
      pool: { capacity: prefetch, submit: (fn, own) => workers.submit(fn, own) },
      prefetch,
      attempts,
      backoff: { base: baseMs, cap: Math.min(MAX_BACKOFF_MS, Math.max(baseMs, backoff.capMs)) },
      timeout: Math.min(MAX_HANDLER_MS, timeoutMs + MARGIN_MS),
      redeliveries: REDELIVERIES,
      singleActive: exclusive,
      map: (raw) => ({ data: new Foreign(raw) }),
    },
  )
  return {
    ready: subscription.live,
    stop: async () => {
      await subscription.close()
      await workers.close({ timeout: 0 }).catch(() => undefined)
    },
  }
}

function eventOf(message: RabbitMessage, { map }: ReadOptions): Arrival | undefined {
  const { attempt, signal } = message
  if (message.data instanceof Foreign) {
    const { topic, headers, contentType, bytes, messageId } = message.data.raw
    const foreign = {
      broker: 'rabbitmq',
      topic,
      key: undefined,
      headers,
      contentType,
      bytes,
      id: messageId ?? '',
    } as const
    return mappedArrival(foreign, map, { attempt, signal })
  }
  const { id, source, type, version, time, headers, extensions, traceparent, contentType, bytes } = message
  const requestId = extensions[REQUEST_ID]
  return arrivalOf(
    {
      id,
      source,
      topic: type,
      version,
      key: extensions[KEY],
      time,
      headers,
      traceparent,
      requestId,
      contentType,
      bytes,
    },
    { attempt, signal },
  )
}

function letterOf(
  letter: Awaited<ReturnType<ReturnType<RabbitMQ['deadLetters']>['list']>>[number],
): BrokerLetter {
  const { id, topic, bytes, attempts, reason, at, headers } = letter
  const traceparent = headers['traceparent']
  return {
    id,
    topic,
    key: undefined,
    bytes,
    attempts,
    reason,
    diedAt: at ?? new Date(0),
    publishedAt: undefined,
    traceparent: typeof traceparent === 'string' ? traceparent : undefined,
  }
}
