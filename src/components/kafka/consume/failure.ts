/**
 * What becomes of a message whose handler failed: the next attempt in place, then the retry topics, then the dead
 * letters. Each hand-over is confirmed by the broker before the message counts as finished, and is tried until it
 * succeeds or the consumer stops; then the message is not committed, and comes again.
 */
import { isThenable } from '../../../core/async-result.ts'
import { backoffMs } from '../../../core/backoff.ts'
import type { Clock } from '../../../core/clock.ts'
import { Deadlines, type DeadlineEntry, type DeadlineList } from '../../../core/deadlines.ts'
import { formatDuration } from '../../../core/duration.ts'
import { hasCode, isSluiceError, SluiceError, toError } from '../../../core/errors.ts'
import type { Logger } from '../../../telemetry/log.ts'
import { redactText } from '../../../telemetry/redact.ts'
import type { RawRecord } from '../publish/record.ts'
import type { KafkaMessage } from './message.ts'
import { deadTopic, retryTopic } from './names.ts'
import type { CheckedConsume } from './options.ts'

/** May return a promise; what it throws or rejects with is a failed attempt. */
export type MessageHandler = (message: KafkaMessage) => unknown

/** Headers of what was handed over, beside its own. */
export const HEADERS = {
  topic: 'sluice-origin-topic',
  partition: 'sluice-origin-partition',
  offset: 'sluice-origin-offset',
  timestamp: 'sluice-origin-timestamp',
  attempts: 'sluice-attempts',
  code: 'sluice-error-code',
  reason: 'sluice-error',
  failedAt: 'sluice-failed-at',
  due: 'sluice-due',
} as const
const OURS = new Set<string>(Object.values(HEADERS))

export interface FailureOptions {
  readonly component: string
  readonly consume: CheckedConsume
  readonly handler: MessageHandler
  /** Stores a record, through the operations of the component. */
  readonly forward: (record: RawRecord) => PromiseLike<unknown>
  readonly clock: Clock
  readonly random: () => number
  readonly log: Logger
  /** Aborts when the consumer stops. */
  readonly stopping: AbortSignal
  readonly onEvent: (what: 'handled' | 'failed' | 'retried' | 'dead') => void
}

const IN_PLACE_BACKOFF = { baseMs: 100, capMs: 30_000 } as const
const FORWARD_BACKOFF = { baseMs: 100, capMs: 5_000 } as const
const MAX_REASON = 500

export class Handling {
  readonly #options: FailureOptions
  readonly #deadlines: Deadlines

  constructor(options: FailureOptions) {
    this.#options = options
    this.#deadlines = new Deadlines(options.clock)
  }

  /** `level`: 0 for the topic itself, n for the n-th retry topic. Never throws, never rejects. */
  handle(message: KafkaMessage, level: number): Promise<void> | void {
    const due = level === 0 ? 0 : Number(message.headers[HEADERS.due] ?? 0)
    if (due > 0) {
      const wait = due - this.#options.clock.now()
      if (wait > 0) return this.#later(message, level, wait)
    }
    return this.#first(message, level)
  }

  #first(message: KafkaMessage, level: number): Promise<void> | void {
    try {
      const outcome = this.#call(message)
      if (outcome === undefined) return this.#options.onEvent('handled')
      return outcome.then(
        () => this.#options.onEvent('handled'),
        (error: unknown) => this.#failed(message, level, error),
      )
    } catch (error) {
      return this.#failed(message, level, error)
    }
  }

  async #later(message: KafkaMessage, level: number, wait: number): Promise<void> {
    // No longer than the delay of its topic: the clock of another process may be wrong.
    const limit = this.#options.consume.retryMs[level - 1] ?? wait
    if (await this.#sleep(Math.min(wait, limit))) return this.#first(message, level)
    message.unfinished = true
  }

  #call(message: KafkaMessage): Promise<unknown> | undefined {
    const { handler, consume, clock } = this.#options
    const outcome = handler(message)
    if (!isThenable(outcome)) return undefined
    return new Promise((resolve, reject) => {
      const entry = new HandlerDeadline(message, consume.timeoutMs, reject)
      this.#deadlines.add(entry, consume.timeoutMs, clock.monotonic())
      outcome.then(
        (value) => {
          this.#deadlines.remove(entry)
          resolve(value)
        },
        (error: unknown) => {
          this.#deadlines.remove(entry)
          reject(toError(error))
        },
      )
    })
  }

  async #failed(message: KafkaMessage, level: number, thrown: unknown): Promise<void> {
    const { consume, onEvent, random } = this.#options
    let error = toError(thrown)
    onEvent('failed')
    const isHopeless = (): boolean => hasCode(error, 'SLUICE_INVALID_DATA')
    for (let tries = 1; ; tries++) {
      if (isHopeless() && consume.deadLetter) break
      if (tries >= consume.attempts && consume.deadLetter) break
      if (!(await this.#sleep(backoffMs(tries, 0.5 + random() / 2, IN_PLACE_BACKOFF)))) {
        message.unfinished = true
        return
      }
      try {
        await this.#call(message)
        onEvent('handled')
        return
      } catch (again) {
        error = toError(again)
        onEvent('failed')
      }
    }
    const isDead = isHopeless() || level >= consume.retryMs.length
    if (await this.#handOver(message, error, isDead ? undefined : level + 1))
      onEvent(isDead ? 'dead' : 'retried')
  }

  async #handOver(message: KafkaMessage, error: Error, level: number | undefined): Promise<boolean> {
    const { forward, random, component, log, consume } = this.#options
    const record = handedOver(message, error, level, consume, this.#options.clock.now())
    for (let tries = 1; ; tries++) {
      try {
        await forward(record)
        const place = { topic: message.topic, partition: message.partition, offset: String(message.offset) }
        if (level === undefined)
          log.error({ error, ...place, dead: record.topic }, `${component}: a message is a dead letter`)
        else
          log.debug({ error, ...place, retry: record.topic }, `${component}: a message is tried again later`)
        return true
      } catch (failure) {
        if (tries === 1)
          log.warn(
            { error: failure, topic: record.topic },
            `${component}: a failed message cannot be put away; it is tried on`,
          )
        if (await this.#sleep(backoffMs(tries, 0.5 + random() / 2, FORWARD_BACKOFF))) continue
        message.unfinished = true
        return false
      }
    }
  }

  /** False when the consumer stopped meanwhile. */
  async #sleep(ms: number): Promise<boolean> {
    const { clock, stopping } = this.#options
    return clock.sleep(ms, { signal: stopping, keepAlive: false }).then(
      () => true,
      () => false,
    )
  }
}

class HandlerDeadline implements DeadlineEntry {
  deadlineAt = 0
  deadlineList: DeadlineList | undefined = undefined
  deadlinePrevious: DeadlineEntry | undefined = undefined
  deadlineNext: DeadlineEntry | undefined = undefined
  readonly #message: KafkaMessage
  readonly #timeoutMs: number
  readonly #reject: (error: Error) => void

  constructor(message: KafkaMessage, timeoutMs: number, reject: (error: Error) => void) {
    this.#message = message
    this.#timeoutMs = timeoutMs
    this.#reject = reject
  }

  deadlinePassed(): void {
    const error = new SluiceError(
      'SLUICE_TIMEOUT',
      `the handler did not end within ${formatDuration(this.#timeoutMs)}`,
      {
        retryable: true,
      },
    )
    this.#message.abort(error)
    this.#reject(error)
  }
}

/** Key, bytes and headers as they came, and where it came from and why it failed. */
function handedOver(
  message: KafkaMessage,
  error: Error,
  level: number | undefined,
  consume: CheckedConsume,
  now: number,
): RawRecord {
  const { headers: before } = message
  const origin = before[HEADERS.topic] ?? message.topic
  const headers = new Map<Buffer, Buffer>()
  for (const [name, value] of message.headerEntries)
    if (!OURS.has(name)) headers.set(Buffer.from(name), value)
  const put = (name: string, value: string | number | bigint): void =>
    void headers.set(Buffer.from(name), Buffer.from(String(value)))
  put(HEADERS.topic, origin)
  put(HEADERS.partition, before[HEADERS.partition] ?? message.partition)
  put(HEADERS.offset, before[HEADERS.offset] ?? message.offset)
  put(HEADERS.timestamp, before[HEADERS.timestamp] ?? message.timestamp)
  put(HEADERS.attempts, message.attempt)
  put(HEADERS.code, isSluiceError(error) ? error.code : error.name)
  put(HEADERS.reason, redactText(error.message).slice(0, MAX_REASON))
  put(HEADERS.failedAt, new Date(now).toISOString())
  if (level !== undefined) put(HEADERS.due, now + (consume.retryMs[level - 1] ?? 0))
  return {
    topic: level === undefined ? deadTopic(origin, consume.group) : retryTopic(origin, consume.group, level),
    key: message.keyBytes,
    value: message.value,
    headers,
    partition: undefined,
    timestamp: undefined,
    bytes: (message.keyBytes?.length ?? 0) + (message.value?.length ?? 0),
  }
}
