/**
 * Events on RabbitMQ, by the rabbitmq component: an event is published to its exchange with its topic as routing key, and
 * a reader is a durable queue that is bound to its patterns.
 */
import type { PublishOptions, RabbitMessage, RabbitMQ, RawMessage } from '../../components/rabbitmq/index.ts'
import { onAbort } from '../../core/abort.ts'
import type { AsyncResult } from '../../core/async-result.ts'
import { hasCode, SluiceError, toError } from '../../core/errors.ts'
import { WorkerPool } from '../../pool/worker-pool.ts'
import {
  isHopeless,
  type Arrival,
  type BrokerLetter,
  type EventBroker,
  type PublishCall,
  type Reader,
  type ReadOptions,
  type WireEvent,
} from './broker.ts'
import { arrivalOf, KEY, mappedArrival, REQUEST_ID } from './envelope.ts'

export interface RabbitBrokerOptions {
  readonly mq: RabbitMQ
  /** An event that no queue takes: is it confirmed all the same? */
  readonly acceptUnroutable: boolean
  /** Called for each of those. */
  readonly onUnroutable: () => void
}

const PUBLISH_LIMIT_MS = 30_000
const OUTSTANDING = 1_000
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
    publish: (events, call) => publish(options, events, call),
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

/**
 * So many on their way at once: more are confirmed no faster, and each one that waits holds its bytes. One that fails
 * holds back those that are not on their way, which could otherwise be there before it.
 */
async function publish(
  { mq, acceptUnroutable, onUnroutable }: RabbitBrokerOptions,
  events: readonly WireEvent[],
  { signal, delayMs }: PublishCall,
): Promise<readonly (Error | undefined)[]> {
  const answers: (Error | undefined)[] = Array.from({ length: events.length })
  const underWay = new Set<AsyncResult<string>>()
  let next = 0
  let failure: Error | undefined
  const place = async (): Promise<void> => {
    while (next < events.length) {
      const index = next++
      if (failure !== undefined) {
        answers[index] = failure
        continue
      }
      const event = events[index]!
      const sent = mq.publish(event.topic, Buffer.from(event.body), optionsOf(event, delayMs))
      underWay.add(sent)
      try {
        await sent
      } catch (thrown) {
        const error = toError(thrown)
        const isUnroutable = hasCode(error, 'SLUICE_UNROUTABLE')
        if (isUnroutable) onUnroutable()
        if (!isUnroutable || !acceptUnroutable) answers[index] = error
        if (!isHopeless(error)) failure ??= error
      }
      underWay.delete(sent)
    }
  }
  // One listener for all: a signal with thousands takes longer for each of them than a publish.
  const release = onAbort(signal, (reason) => {
    failure ??= toError(reason)
    for (const sent of underWay) sent.cancel(reason)
  })
  await Promise.all(Array.from({ length: Math.min(OUTSTANDING, events.length) }, place)).finally(release)
  return answers
}

function optionsOf(event: WireEvent, delayMs: number | undefined): PublishOptions {
  const { id, version, key, headers, traceparent, requestId, time } = event
  const extensions: Record<string, string> = {}
  if (key !== undefined) extensions[KEY] = key
  if (requestId !== undefined) extensions[REQUEST_ID] = requestId
  return {
    id,
    version,
    time,
    headers,
    contentType: 'application/json',
    extensions,
    timeout: PUBLISH_LIMIT_MS,
    ...(traceparent === undefined ? {} : { traceparent }),
    ...(delayMs === undefined || delayMs === 0 ? {} : { delay: delayMs }),
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
