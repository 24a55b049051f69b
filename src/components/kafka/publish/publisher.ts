/** Publishing: single messages are gathered into requests, batches are cut to what one request may hold. */
import type { AsyncResult } from '../../../core/async-result.ts'
import { BatchResult } from '../../../core/batch-result.ts'
import type { Clock } from '../../../core/clock.ts'
import { isSluiceError, type SluiceError } from '../../../core/errors.ts'
import { Batcher } from '../../../pool/batcher.ts'
import type { CallOptions, Operations } from '../../../telemetry/operate.ts'
import { driverError } from '../client/errors.ts'
import type { KafkaConfig } from '../section.ts'
import { activeTraceparent } from '../../../telemetry/trace.ts'
import { checkTopic, encode, type EncodeRules, type KafkaRecord, type RawRecord } from './record.ts'
import type { Published, Sender } from './sender.ts'

export interface PublisherOptions {
  readonly component: string
  readonly operations: Operations
  readonly sender: Sender
  readonly config: KafkaConfig
  readonly rules: EncodeRules
  readonly clock: Clock
}

/** An idempotent producer's sends are the driver's to repeat; those of another one are nobody's. */
const PUBLISH = { name: 'publish', idempotent: false }
const PUBLISH_BATCH = { name: 'publishBatch', idempotent: false }

export class Publisher {
  readonly #options: PublisherOptions
  readonly #gather: Batcher<RawRecord, Published>

  constructor(options: PublisherOptions) {
    this.#options = options
    const { component, config, clock, sender } = options
    this.#gather = new Batcher<RawRecord, Published>({
      name: `${component}: publish`,
      write: (records, call) => writeByTopic(component, sender, records, call.signal),
      maxItems: config.batchSize,
      maxBytes: config.batchBytes,
      sizeOf: (record) => record.bytes,
      maxWaiting: Math.max(1, config.maxWaiting),
      maxWaitingBytes: config.maxWaitingBytes,
      timeout: config.requestTimeout,
      clock,
    })
  }

  publish(topic: string, record: KafkaRecord, options?: CallOptions): AsyncResult<Published> {
    const { operations, rules } = this.#options
    return operations.run(
      PUBLISH,
      () => {
        checkTopic(topic)
        return this.#gather.add(encode(topic, record, rules, activeTraceparent()))
      },
      options,
    )
  }

  publishBatch(
    topic: string,
    records: readonly KafkaRecord[],
    options?: CallOptions,
  ): BatchResult<Published> {
    const { operations } = this.#options
    const whole = operations.run(PUBLISH_BATCH, (call) => this.#sendAll(topic, records, call.signal), options)
    return BatchResult.ofWhole(whole, records.length)
  }

  async close(): Promise<void> {
    await this.#gather.close({ timeout: this.#options.config.requestTimeout }).catch(() => undefined)
    await this.#options.sender.close()
  }

  /** A message that cannot be encoded fails alone; a request that fails takes those in it with it. */
  async #sendAll(
    topic: string,
    records: readonly KafkaRecord[],
    signal: AbortSignal,
  ): Promise<readonly (Published | SluiceError)[]> {
    const { rules, config, sender, component } = this.#options
    checkTopic(topic)
    const traceparent = activeTraceparent()
    const answers: (Published | SluiceError)[] = []
    const requests: Promise<void>[] = []
    let chunk: RawRecord[] = []
    let places: number[] = []
    let bytes = 0
    const flush = (): void => {
      if (chunk.length === 0) return
      const at = places
      requests.push(
        sender.send(chunk, signal).then(
          (published) => at.forEach((place, index) => void (answers[place] = published[index]!)),
          (error: unknown) => {
            const reason = asSluice(error, component)
            for (const place of at) answers[place] = reason
          },
        ),
      )
      chunk = []
      places = []
      bytes = 0
    }
    for (let place = 0; place < records.length; place++) {
      let raw: RawRecord
      try {
        raw = encode(topic, records[place]!, rules, traceparent)
      } catch (error) {
        if (!isSluiceError(error)) throw error
        answers[place] = error
        continue
      }
      if (chunk.length >= config.batchSize || bytes + raw.bytes > config.batchBytes) flush()
      chunk.push(raw)
      places.push(place)
      bytes += raw.bytes
    }
    flush()
    await Promise.all(requests)
    signal.throwIfAborted()
    const failures = answers.filter(isSluiceError)
    // Nothing of it was stored: then it is the failure of the operation, for its metrics, its breaker and its log line.
    if (failures.length === answers.length && failures[0] !== undefined) throw failures[0]
    return answers
  }
}

/** One topic that does not exist must not fail the messages of the others. */
async function writeByTopic(
  component: string,
  sender: Sender,
  records: readonly RawRecord[],
  signal: AbortSignal,
): Promise<readonly (Published | Error)[]> {
  const first = records[0]!.topic
  if (records.every(({ topic }) => topic === first)) return sender.send(records, signal)
  const byTopic = Map.groupBy(records.keys(), (index) => records[index]!.topic)
  const answers: (Published | Error)[] = []
  await Promise.all(
    [...byTopic.values()].map(async (places) => {
      try {
        const published = await sender.send(
          places.map((place) => records[place]!),
          signal,
        )
        places.forEach((place, index) => void (answers[place] = published[index]!))
      } catch (error) {
        const reason = asSluice(error, component)
        for (const place of places) answers[place] = reason
      }
    }),
  )
  return answers
}

function asSluice(error: unknown, component: string): SluiceError {
  return isSluiceError(error) ? error : driverError(error, component, true)
}
