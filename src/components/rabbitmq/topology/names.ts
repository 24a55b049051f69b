/** What is called how on the broker, and in the headers of messages. Names of one version of the layout, shared by all apps of a virtual host. */

/** Of a subscription: where its dead letters lie. */
export const deadQueueOf = (queue: string): string => `${queue}.dead`

/** A message that is due leaves from here, to the exchange or the queue that it names. */
export const DUE_EXCHANGE = 'sluice.delay.due'
/** One exchange and one queue a bucket. */
export const delayName = (level: number): string => `sluice.delay.${level}`
export const isDelayExchange = (name: string): boolean => name.startsWith('sluice.delay.')
/** Delayed messages that nobody wanted when they were due, or whose queue was gone. */
export const UNROUTABLE = 'sluice.unroutable'

/** Headers of ours; none is handed to handlers. */
export const PREFIX = 'sluice-'
export const HEADER = {
  /** The routing key that it was published with. */
  topic: 'sluice-topic',
  /** The exchange that it was published to. */
  exchange: 'sluice-exchange',
  /** Attempts that failed, in decimal digits. */
  attempts: 'sluice-attempts',
  /** Deliveries that ended without an answer, where the queue does not count them itself. */
  redeliveries: 'sluice-redeliveries',
  /** `1` on a message that waits, or waited. */
  delayed: 'sluice-delayed',
  /** Where it goes when it is due. */
  delayTo: 'sluice-delay-to',
  deadReason: 'sluice-dead-reason',
  deadCode: 'sluice-dead-code',
  deadAt: 'sluice-dead-at',
} as const

/** `1` where the message waits in the bucket of this level. */
export const delayHeader = (level: number): string => `sluice-delay-${level}`

export const toExchange = (name: string): string => `exchange:${name}`
export const toQueue = (name: string): string => `queue:${name}`

/** Headers that the broker writes when it moves a message. */
export const BROKER_HEADERS: ReadonlySet<string> = new Set([
  'x-death',
  'x-delivery-count',
  'x-acquired-count',
  'x-first-death-exchange',
  'x-first-death-queue',
  'x-first-death-reason',
  'x-last-death-exchange',
  'x-last-death-queue',
  'x-last-death-reason',
])

/** Written for one wait, and not kept. */
export const isDelayHeader = (name: string): boolean => name.startsWith('sluice-delay')
