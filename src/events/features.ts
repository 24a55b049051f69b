/**
 * What each way of transport can do, as data. The conformance suite of transports is driven by it: what is true here is
 * tried, what is false must be refused with SLUICE_UNSUPPORTED at the call. What a broker lacks, the engine does in front
 * of it where there is a database.
 */
import { SluiceError } from '../core/errors.ts'

export interface TransportFeatures {
  /** Published in the user's transaction; handlers that run in one. */
  readonly transaction: boolean
  /** `ordered: 'key'`: events of one key one at a time, and in order. */
  readonly order: boolean
  readonly delay: boolean
  readonly priority: boolean
  /** Handlers of many events at once. */
  readonly batches: boolean
  /** Topics by `*` and `#`. */
  readonly patterns: boolean
  /** A new subscription may begin in the past: `from: 'beginning'`. */
  readonly history: boolean
  /** Events of the past again, beside what is live. */
  readonly replay: boolean
  /** One that fails is tried again, and others go on meanwhile. */
  readonly retry: boolean
  /** `onFail: 'stop'`: nothing goes on behind one that fails. */
  readonly stop: boolean
  /** Dead letters can be looked at. */
  readonly deadLetters: boolean
  /** Dead letters can be delivered again. */
  readonly redrive: boolean
  /** Events are kept after they were read. */
  readonly retention: boolean
  /** Lag, topics, pause and resume of subscriptions. */
  readonly steering: boolean
}

export type Feature = keyof TransportFeatures

/** What the columns of the table mean, in the order in which they are shown. */
export const FEATURES: Readonly<Record<Feature, string>> = Object.freeze({
  transaction: 'publish and handle in a transaction',
  order: "order by key (`ordered: 'key'`)",
  delay: 'delay',
  priority: 'priority',
  batches: 'handlers of batches',
  patterns: 'patterns of topics',
  history: "`from: 'beginning'`",
  replay: 'replay',
  retry: 'one event retried, others go on',
  stop: "`onFail: 'stop'`",
  deadLetters: 'dead letters',
  redrive: 'redrive of dead letters',
  retention: 'events are kept after they were read',
  steering: 'lag, topics, pause, resume',
})

const ALL: TransportFeatures = Object.freeze({
  transaction: true,
  order: true,
  delay: true,
  priority: true,
  batches: true,
  patterns: true,
  history: true,
  replay: true,
  retry: true,
  stop: true,
  deadLetters: true,
  redrive: true,
  retention: true,
  steering: true,
})

export const TRANSPORTS = Object.freeze({
  log: ALL,
  'log+rabbitmq': ALL,
  'log+kafka': ALL,
  rabbitmq: Object.freeze({
    ...ALL,
    transaction: false,
    order: false,
    priority: false,
    history: false,
    replay: false,
    stop: false,
    retention: false,
    steering: false,
  }),
  kafka: Object.freeze({
    ...ALL,
    transaction: false,
    delay: false,
    priority: false,
    replay: false,
    stop: false,
    steering: false,
  }),
}) satisfies Readonly<Record<string, TransportFeatures>>

export type Transport = keyof typeof TRANSPORTS

/** SLUICE_UNSUPPORTED, with what can do it. */
export function unsupported(transport: Transport, feature: Feature, what: string): SluiceError {
  const able = Object.entries(TRANSPORTS).filter(([, features]) => features[feature])
  return new SluiceError(
    'SLUICE_UNSUPPORTED',
    `${what}: events on ${transport} alone cannot do it (${FEATURES[feature]})`,
    {
      hint: `Transports that can: ${able.map(([name]) => name).join(', ')}.`,
      details: { transport, feature },
    },
  )
}
