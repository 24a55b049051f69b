/**
 * What each way of transport can do by itself, as data. What one cannot do, the engine does in front of it, or the call
 * is refused with SLUICE_UNSUPPORTED.
 */
export interface TransportFeatures {
  /** Commits together with the user's data. */
  readonly transactional: boolean
  /** Events of one key in order. */
  readonly orderedByKey: boolean
  readonly delay: boolean
  readonly priority: boolean
  /** Events of the past again. */
  readonly replay: boolean
  /** Topics by `*` and `#`. */
  readonly patterns: boolean
  /** Retries of one event without holding up those behind it. */
  readonly individualRetry: boolean
  readonly deadLetters: boolean
  /** Bytes of one event, at most; undefined where only the configuration says. */
  readonly maxBytes: number | undefined
}

export const TRANSPORTS = Object.freeze({
  log: Object.freeze({
    transactional: true,
    orderedByKey: true,
    delay: true,
    priority: true,
    replay: true,
    patterns: true,
    individualRetry: true,
    deadLetters: true,
    maxBytes: undefined,
  }),
  rabbitmq: Object.freeze({
    transactional: false,
    orderedByKey: false,
    delay: false,
    priority: true,
    replay: false,
    patterns: true,
    individualRetry: true,
    deadLetters: true,
    maxBytes: 134_217_728,
  }),
  kafka: Object.freeze({
    transactional: false,
    orderedByKey: true,
    delay: false,
    priority: false,
    replay: true,
    patterns: false,
    individualRetry: false,
    deadLetters: false,
    maxBytes: 1_048_576,
  }),
}) satisfies Readonly<Record<string, TransportFeatures>>

export type Transport = keyof typeof TRANSPORTS
