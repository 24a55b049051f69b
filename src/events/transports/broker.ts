/**
 * All that events know of a broker. `rabbitmq.ts` and `kafka.ts` say it of the components; nothing else here knows which
 * one it is.
 *
 * An event travels as a CloudEvent 1.0 in binary mode: its attributes are headers, the body is the data as JSON. Its topic
 * is the `type`, its key the extension `partitionkey`, the version of its data `schemaversion`.
 */
import type { ComponentBase } from '../../app/component.ts'

/** An event on its way to a broker. */
export interface WireEvent {
  /** Unique together with the source, which is the app. */
  readonly id: string
  readonly topic: string
  readonly version: number
  readonly key: string | undefined
  readonly headers: Readonly<Record<string, string>>
  readonly traceparent: string | undefined
  readonly requestId: string | undefined
  readonly time: Date
  /** JSON. */
  readonly body: string
}

/** An event that came from a broker. */
export interface Arrival extends WireEvent {
  readonly source: string
  /** 1 for the first. */
  readonly attempt: number
  /** Aborts when there is no more time for it. */
  readonly signal: AbortSignal
}

/** A message without an envelope, as it came. */
export interface ForeignMessage {
  readonly broker: BrokerKind
  /** Routing key, or the topic of Kafka. */
  readonly topic: string
  readonly key: string | undefined
  readonly headers: Readonly<Record<string, unknown>>
  readonly contentType: string | undefined
  readonly bytes: Buffer
  /** What the broker knows it by: the id of the message, or topic, partition and offset. Empty where there is none. */
  readonly id: string
}

/** What a mapping makes of a foreign message. */
export interface MappedEvent {
  /** Topic of the event. */
  readonly topic: string
  readonly data: unknown
  /** By it a second delivery is known. @default the broker's */
  readonly id?: string | undefined
  /** @default 'foreign' */
  readonly source?: string | undefined
  readonly key?: string | undefined
  /** @default 1 */
  readonly version?: number | undefined
  readonly time?: Date | undefined
  readonly headers?: Readonly<Record<string, string>> | undefined
}

/** What it throws makes a dead letter of the message; undefined leaves it aside. */
export type ForeignMapping = (message: ForeignMessage) => MappedEvent | undefined

export type BrokerKind = 'rabbitmq' | 'kafka'

export interface ReadOptions {
  /** Of whom: processes that read under one name share what comes. */
  readonly name: string
  readonly patterns: readonly string[]
  readonly matches: (topic: string) => boolean
  readonly from: 'now' | 'beginning'
  /** Events of one key one after another. */
  readonly ordered: boolean
  /** One process at a time. */
  readonly exclusive: boolean
  /** Events held at once. */
  readonly concurrency: number
  readonly attempts: number
  readonly backoff: { readonly baseMs: number; readonly capMs: number }
  readonly timeoutMs: number
  readonly map: ForeignMapping | undefined
  /** Rejects: it is tried again, and a dead letter after its attempts; with SLUICE_INVALID_DATA at once. */
  readonly handle: (event: Arrival) => Promise<void>
}

export interface Reader {
  /** Resolves when everything that is published from then on reaches it. */
  readonly ready: Promise<void>
  stop(signal?: AbortSignal): Promise<void>
}

/** A dead letter of a reader. */
export interface BrokerLetter {
  readonly id: string
  readonly topic: string
  readonly key: string | undefined
  readonly bytes: Buffer | undefined
  readonly attempts: number
  readonly reason: string
  readonly diedAt: Date
  readonly publishedAt: Date | undefined
  readonly traceparent: string | undefined
}

export interface LetterChoice {
  readonly ids?: readonly string[] | undefined
  readonly limit: number
}

export interface EventBroker {
  readonly kind: BrokerKind
  readonly component: ComponentBase
  /** The patterns of a reader are the broker's to know; else all comes, and `matches` is asked for each. */
  readonly binds: boolean
  /** Makes what publishing needs; rejects while the broker is away. */
  open(signal: AbortSignal): Promise<void>
  /**
   * Resolves when each is confirmed or has failed, with the error of each that failed. Events of one key arrive in the
   * order of the list, as long as none of them fails alone.
   */
  publish(events: readonly WireEvent[], options: PublishCall): Promise<readonly (Error | undefined)[]>
  /** Reads from when the component is connected on, whatever becomes of its connections. */
  read(options: ReadOptions): Reader
  letters(name: string, choice: LetterChoice): Promise<readonly BrokerLetter[]>
  /** How many went back. */
  redrive(name: string, choice: LetterChoice): Promise<number>
  drop(name: string, choice: LetterChoice): Promise<number>
}

export interface PublishCall {
  readonly signal: AbortSignal
  /** Milliseconds to wait first. */
  readonly delayMs?: number | undefined
}

/** Why a publish of one event will not succeed the next time either. */
const HOPELESS: ReadonlySet<string> = new Set([
  'SLUICE_TOO_LARGE',
  'SLUICE_INVALID_DATA',
  'SLUICE_INVALID_ARGUMENT',
  'SLUICE_UNSUPPORTED',
  'SLUICE_UNROUTABLE',
])

export function isHopeless(error: Error): boolean {
  return 'code' in error && HOPELESS.has(String(error.code))
}
