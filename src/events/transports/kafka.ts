/**
 * Events on Kafka, by the kafka component: all of them in one topic, so that those of one key are in order whatever their
 * own topics are; a reader is a group that passes over what it did not ask for.
 */
import type { Kafka, KafkaMessage, KafkaRecord } from '../../components/kafka/index.ts'
import { backoffMs } from '../../core/backoff.ts'
import type { Clock } from '../../core/clock.ts'
import { invalidArgument, hasCode, SluiceError, toError } from '../../core/errors.ts'
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

export interface KafkaBrokerOptions {
  readonly kafka: Kafka
  /** Where events travel. */
  readonly topic: string
  /** Of it, where it has to be made. */
  readonly partitions: number
  readonly clock: Clock
  readonly random: () => number
}

/** Below what one request of the component holds: it would send two at once, which could change places. */
const REQUEST = 500
const REQUEST_BYTES = 524_288
/** While one request is confirmed the next is made; more than two would only wait for the processor. */
const LANES = 2
/** Attempts are counted here, and the component's own limits are to be out of the way. */
const NEVER_MS = 2_000_000_000
const MANY_ATTEMPTS = 1_000
const MAX_CONCURRENCY = 10_000

export function kafkaBroker(options: KafkaBrokerOptions): EventBroker {
  const { kafka, topic } = options
  let opening: Promise<unknown> | undefined
  const open = async (signal: AbortSignal): Promise<void> => {
    opening ??= Promise.resolve(kafka.createTopic(topic, { partitions: options.partitions, signal })).catch(
      (error: unknown) => {
        opening = undefined
        throw error
      },
    )
    await opening
  }
  return {
    kind: 'kafka',
    component: kafka,
    binds: false,
    open,
    publish: async (events, call) => {
      await open(call.signal)
      return publish(kafka, topic, events, call)
    },
    read: (wanted) => read(options, wanted),
    letters: async (name, { ids, limit }) => {
      const letters = await kafka.deadLetters(topic, { group: groupOf(name), limit })
      const wanted = ids === undefined ? undefined : new Set(ids)
      return letters.map(letterOf).filter(({ id }) => wanted?.has(id) ?? true)
    },
    redrive: async (name, { ids, limit }) => {
      if (ids !== undefined)
        throw new SluiceError(
          'SLUICE_UNSUPPORTED',
          'deadLetters.redrive: ids: Kafka reads dead letters in order',
          {
            hint: 'Say how many, by limit; the oldest of each partition are first.',
          },
        )
      return kafka.redrive(topic, { group: groupOf(name), limit })
    },
    drop: async () => {
      throw new SluiceError('SLUICE_UNSUPPORTED', 'deadLetters.drop: Kafka deletes nothing by itself', {
        hint: 'The retention of the dead letter topic does it.',
      })
    },
  }
}

/** In lanes, each of which has the events of some keys: only these have an order. */
async function publish(
  kafka: Kafka,
  topic: string,
  events: readonly WireEvent[],
  { signal }: PublishCall,
): Promise<readonly (Error | undefined)[]> {
  const answers: (Error | undefined)[] = Array.from({ length: events.length })
  const lanes = events.length > REQUEST ? lanesOf(events) : [[...events.keys()]]
  await Promise.all(lanes.map((places) => publishLane(kafka, topic, events, places, answers, signal)))
  return answers
}

/** One request after another: when one fails, what comes behind it is not sent, and the order of keys is kept. */
async function publishLane(
  kafka: Kafka,
  topic: string,
  events: readonly WireEvent[],
  places: readonly number[],
  answers: (Error | undefined)[],
  signal: AbortSignal,
): Promise<void> {
  for (let from = 0; from < places.length;) {
    const records: KafkaRecord[] = []
    for (let bytes = 0; from + records.length < places.length && records.length < REQUEST;) {
      const event = events[places[from + records.length]!]!
      bytes += event.body.length
      // The one that goes beyond is the next request's first.
      if (records.length > 0 && bytes > REQUEST_BYTES) break
      records.push(recordOf(event))
    }
    const { errors } = await kafka.publishBatch(topic, records, { signal }).waitAll()
    for (const error of errors) answers[places[from++]!] = error
    const failure = errors.find((error) => error !== undefined && !isHopeless(error))
    if (failure === undefined) continue
    for (; from < places.length; from++) answers[places[from]!] = failure
  }
}

/** Places of the events, those of one key in one lane; those without a key go where there are fewer. */
function lanesOf(events: readonly WireEvent[]): readonly (readonly number[])[] {
  const lanes: number[][] = Array.from({ length: LANES }, () => [])
  for (const [place, { key }] of events.entries()) {
    const lane =
      key === undefined ? lanes.reduce((a, b) => (b.length < a.length ? b : a)) : lanes[hashOf(key) % LANES]!
    lane.push(place)
  }
  return lanes
}

function hashOf(key: string): number {
  let hash = 0
  for (let at = 0; at < key.length; at++) hash = (Math.imul(hash, 31) + key.charCodeAt(at)) >>> 0
  return hash
}

const RESERVED = /^(?:ce_.*|sluice-.*|content-type|traceparent)$/

/** Throws SLUICE_INVALID_ARGUMENT for headers that the envelope needs for itself. */
export function checkKafkaHeaders(headers: Readonly<Record<string, string>>): void {
  const taken = Object.keys(headers).find((name) => RESERVED.test(name))
  if (taken !== undefined) throw invalidArgument('headers', 'names that are not of the envelope', taken)
}

function recordOf(event: WireEvent): KafkaRecord {
  const { id, topic, version, key, headers, traceparent, requestId, time, body } = event
  return {
    value: body,
    ...(key === undefined ? {} : { key }),
    headers: {
      ...headers,
      'content-type': 'application/json',
      ...(traceparent === undefined ? {} : { traceparent }),
    },
    event: {
      id,
      type: topic,
      time: time.toISOString(),
      schemaversion: version,
      traceparent,
      ...(requestId === undefined ? {} : { extensions: { [REQUEST_ID]: requestId } }),
    },
  }
}

function read(options: KafkaBrokerOptions, wanted: ReadOptions): Reader {
  const { kafka, topic, clock } = options
  const stopping = new AbortController()
  const begun = Promise.withResolvers<void>()
  begun.promise.catch(() => undefined)
  let consumption: ReturnType<Kafka['consume']> | undefined
  const begin = async (): Promise<void> => {
    // A topic that is not there yet would be made by nobody.
    for (let failures = 1; ; failures++) {
      try {
        await kafka.createTopic(topic, { partitions: options.partitions, signal: stopping.signal })
        break
      } catch {
        const ms = backoffMs(failures, options.random(), { baseMs: 50, capMs: 2_000 })
        await clock.sleep(ms, { signal: stopping.signal })
      }
    }
    stopping.signal.throwIfAborted()
    consumption = kafka.consume(topic, (message) => handle(options, wanted, stopping.signal, message), {
      group: groupOf(wanted.name),
      concurrency: Math.min(MAX_CONCURRENCY, wanted.concurrency),
      order: 'key',
      attempts: MANY_ATTEMPTS,
      retry: [],
      timeout: NEVER_MS,
      // By time and not 'end': what is published while the group is being joined belongs to it.
      from: wanted.from === 'beginning' ? 'beginning' : { time: clock.now() },
    })
    await consumption.ready
  }
  const beginning = begin().then(begun.resolve, begun.reject)
  return {
    ready: begun.promise,
    stop: async (signal) => {
      const stopped = consumption?.stop(signal)
      stopping.abort(new SluiceError('SLUICE_CLOSED', `the reader "${wanted.name}" was stopped`))
      await stopped
      await beginning
      // One that was made meanwhile.
      await consumption?.stop(signal)
    },
  }
}

/** Attempts in place, as a topic cannot take one message out of its order; then a dead letter. */
async function handle(
  { clock, random }: KafkaBrokerOptions,
  { matches, map, attempts, backoff, handle: run }: ReadOptions,
  stopping: AbortSignal,
  message: KafkaMessage,
): Promise<void> {
  const arrival = eventOf(message, map)
  if (arrival === undefined || !matches(arrival.topic)) return
  for (let attempt = 1; ; attempt++) {
    try {
      await run({ ...arrival, attempt })
      return
    } catch (error) {
      // Thrown on as it is, the component gives the message back.
      if (stopping.aborted || message.signal.aborted) throw error
      if (attempt >= attempts || hasCode(error, 'SLUICE_INVALID_DATA')) throw dead(toError(error), attempt)
      await clock.sleep(backoffMs(attempt, random(), backoff), { signal: stopping })
    }
  }
}

/** The code that makes the component put it among the dead letters at once. */
function dead(error: Error, attempt: number): SluiceError {
  return new SluiceError('SLUICE_INVALID_DATA', `${error.message} (attempt ${attempt})`, { cause: error })
}

const ATTEMPT = / \(attempt (\d+)\)$/

function eventOf(message: KafkaMessage, map: ReadOptions['map']): Arrival | undefined {
  const envelope = message.event()
  const { headers, key, signal } = message
  const bytes = message.value ?? Buffer.alloc(0)
  const contentType = headers['content-type']
  const context = { attempt: message.attempt, signal }
  if (envelope === undefined) {
    const id = `${message.topic}/${message.partition}/${message.offset}`
    return mappedArrival(
      { broker: 'kafka', topic: message.topic, key, headers, contentType, bytes, id },
      map,
      context,
    )
  }
  const { id, source, type, schemaversion, time, extensions } = envelope
  return arrivalOf(
    {
      id,
      source,
      topic: type,
      version: schemaversion,
      key: key ?? extensions?.[KEY],
      time: time === undefined ? new Date(message.timestamp) : new Date(time),
      headers: ownHeaders(headers),
      traceparent: envelope.traceparent ?? headers['traceparent'],
      requestId: extensions?.[REQUEST_ID],
      contentType,
      bytes,
    },
    context,
  )
}

function ownHeaders(headers: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !RESERVED.test(name)))
}

function letterOf(letter: Awaited<ReturnType<Kafka['deadLetters']>>[number]): BrokerLetter {
  const { headers, key, value, reason, failedAt, partition, offset, attempts } = letter
  const time = headers['ce_time']
  const tried = ATTEMPT.exec(reason)
  return {
    id: headers['ce_id'] ?? `${letter.topic}/${partition}/${offset}`,
    topic: headers['ce_type'] ?? letter.topic,
    key: key?.toString(),
    bytes: value,
    attempts: tried === null ? attempts : Number(tried[1]),
    reason: reason.replace(ATTEMPT, ''),
    diedAt: failedAt,
    publishedAt: time === undefined ? undefined : new Date(time),
    traceparent: headers['ce_traceparent'],
  }
}

/** What Kafka takes as the name of a group. */
function groupOf(name: string): string {
  return name.replace(/[^a-zA-Z0-9._-]/g, '.').slice(0, 120)
}
