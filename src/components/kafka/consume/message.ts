/** A message as a handler gets it. What costs time (texts, headers, envelope) is read when it is asked for. */
import { KAFKA_PREFIXES, readCloudEvent, type CloudEvent } from '../../../core/cloud-events.ts'
import { SluiceError } from '../../../core/errors.ts'
import { LazySignal } from '../../../core/lazy-signal.ts'
import type { RawMessage } from '../client/peer.ts'

export class KafkaMessage {
  readonly #raw: RawMessage
  #abort: LazySignal | undefined
  #headers: Readonly<Record<string, string>> | undefined
  /** 1 for the first try; goes on through the retry topics. */
  readonly attempt: number
  /** For the consumer alone: it was given up without being done with. */
  unfinished = false

  constructor(raw: RawMessage, attempt: number) {
    this.#raw = raw
    this.attempt = attempt
  }

  /** Where it was read; a retry topic for a later attempt. `origin` in `dead-letter.ts` says where it came from. */
  get topic(): string {
    return this.#raw.topic
  }
  get partition(): number {
    return this.#raw.partition
  }
  get offset(): bigint {
    return this.#raw.offset
  }
  /** Milliseconds since 1970. */
  get timestamp(): number {
    return Number(this.#raw.timestamp)
  }
  get key(): string | undefined {
    const { key } = this.#raw
    return isBytes(key) ? key.toString() : undefined
  }
  get keyBytes(): Buffer | undefined {
    const { key } = this.#raw
    return isBytes(key) ? key : undefined
  }
  /** The bytes; undefined for a tombstone. */
  get value(): Buffer | undefined {
    const { value } = this.#raw
    return isBytes(value) ? value : undefined
  }
  /** Headers as texts; of several with one name the last. */
  get headers(): Readonly<Record<string, string>> {
    return (this.#headers ??= Object.fromEntries(
      this.headerEntries.map(([name, value]) => [name, value.toString()]),
    ))
  }
  /** Headers as they came, in their order. */
  get headerEntries(): readonly (readonly [string, Buffer])[] {
    return this.#raw.headerEntries.map(
      ([name, value]) =>
        [isBytes(name) ? name.toString() : '', isBytes(value) ? value : Buffer.alloc(0)] as const,
    )
  }
  /** Aborts at the handler's timeout, and when the consumer stops for good. */
  get signal(): AbortSignal {
    return (this.#abort ??= new LazySignal()).signal
  }

  /** The value as UTF-8; empty for a tombstone. */
  text(): string {
    return this.value?.toString() ?? ''
  }

  /** The value as JSON. Throws SLUICE_INVALID_DATA where it is none; the text is not in the error. */
  json<T = unknown>(): T {
    try {
      return JSON.parse(this.text()) as T
    } catch {
      throw new SluiceError('SLUICE_INVALID_DATA', 'the value is not JSON', { details: this.#place() })
    }
  }

  /** The CloudEvents envelope; undefined where there is none. Throws SLUICE_INVALID_DATA for a broken one. */
  event(): CloudEvent | undefined {
    return readCloudEvent(this.headers, KAFKA_PREFIXES)
  }

  /** For the consumer alone. */
  abort(reason: unknown): void {
    ;(this.#abort ??= new LazySignal()).abort(reason)
  }

  #place(): Readonly<Record<string, unknown>> {
    return { topic: this.topic, partition: this.partition, offset: String(this.offset) }
  }
}

/** The driver's types say bytes where the protocol has null as well. */
function isBytes(value: unknown): value is Buffer {
  return Buffer.isBuffer(value)
}
