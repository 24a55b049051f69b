/**
 * Sends requests of messages of one topic: at most `maxInFlight` at a time, first come first sent.
 *
 * The partition of a message is decided here, so that each one's offset is known: the answer of a broker has one offset
 * for each partition, of the first message. With a key it is the partition that Java clients choose; messages without a
 * key go to one partition for each request, another one for the next, as larger runs compress and store better.
 *
 * A request that was not answered in time, or whose connection was lost, may have been stored: SLUICE_OUTCOME_UNKNOWN,
 * never repeated here, except by an idempotent producer, whose repetitions the broker drops.
 */
import type { Clock } from '../../../core/clock.ts'
import { SluiceError } from '../../../core/errors.ts'
import { WorkerPool } from '../../../pool/worker-pool.ts'
import type { Clients, Producer } from '../client/clients.ts'
import { driverError, isRefused, isUnreachable } from '../client/errors.ts'
import type { KafkaConfig } from '../section.ts'
import { partialOf, type StoredAt } from './partial.ts'
import { OffsetWatch } from './offset-watch.ts'
import { partitionOf } from './partition.ts'
import { produce } from './produce.ts'
import type { RawRecord } from './record.ts'

/** Where a message was stored. */
export interface Published {
  readonly topic: string
  readonly partition: number
  /** -1 where the broker knew the message already and no longer knows where (idempotent producers). */
  readonly offset: bigint
}

export interface SenderOptions {
  readonly component: string
  readonly clients: Clients
  readonly config: KafkaConfig
  readonly clock: Clock
}

/** A partition that is new, or whose leader moves, is there within these. */
const MAX_TRIES = 5
const REPEAT_AFTER_MS = 150

export class Sender {
  readonly #options: SenderOptions
  readonly #slots: WorkerPool
  readonly #watch = new OffsetWatch()
  #turn = 0

  constructor(options: SenderOptions) {
    this.#options = options
    const { component, config, clock } = options
    this.#slots = new WorkerPool({
      name: `${component}: produce`,
      workers: config.idempotent ? 1 : config.maxInFlight,
      maxWaiting: Math.max(1, config.maxWaiting),
      clock,
    })
  }

  get inFlight(): number {
    return this.#slots.running
  }

  get waiting(): number {
    return this.#slots.waiting
  }

  /** Resolves when the broker, and its replicas in sync, have stored them. In the order of `records`. */
  send(records: readonly RawRecord[], signal?: AbortSignal): Promise<readonly Published[]> {
    return this.#slots.submit((call) => this.#request(records, call.signal), {
      timeout: this.#options.config.requestTimeout,
      ...(signal === undefined ? {} : { signal }),
    })
  }

  async close(): Promise<void> {
    await this.#slots.close({ timeout: 0 }).catch(() => undefined)
  }

  async #request(records: readonly RawRecord[], signal: AbortSignal): Promise<readonly Published[]> {
    const { clients, component, config, clock } = this.#options
    const topic = records[0]!.topic
    let sent = false
    let someStored = false
    try {
      const { partitions, offsets } = await clients.produce(signal, async (producer, module) => {
        const count = await this.#partitionsOf(topic, producer, signal)
        const partitions = this.#assign(records, count)
        const placed = records.map((record, index) => ({ record, partition: partitions[index]! }))
        sent = true
        const offsets: StoredAt[] = []
        for (let left = placed, tries = 1; left.length > 0; tries++) {
          try {
            offsets.push(...(await produce({ producer, module, config }, topic, left)))
            break
          } catch (error) {
            const partial = partialOf(error)
            someStored ||= (partial?.stored.length ?? 0) > 0
            const mayRepeat = !config.idempotent && (partial !== undefined || isUnreachable(error))
            if (!mayRepeat || tries >= MAX_TRIES) throw error
            if (partial !== undefined) {
              offsets.push(...partial.stored)
              left = left.filter(({ partition }) => partial.refused.has(partition))
            }
            await clock.sleep(REPEAT_AFTER_MS, { signal })
            producer.clearMetadata()
          }
        }
        return { partitions, offsets }
      })
      return this.#positions(topic, partitions, offsets)
    } catch (error) {
      throw driverError(error, component, someStored || (sent && !isRefused(error)))
    }
  }

  /** A topic that was just made is unknown to some brokers for a moment. Nothing is sent yet, so it may be asked again. */
  async #partitionsOf(topic: string, producer: Producer, signal: AbortSignal): Promise<number> {
    for (let tries = 1; ; tries++) {
      try {
        const metadata = await producer.metadata({ topics: [topic] })
        return metadata.topics.get(topic)?.partitionsCount ?? 0
      } catch (error) {
        if (tries >= MAX_TRIES) throw error
        await this.#options.clock.sleep(REPEAT_AFTER_MS, { signal })
      }
    }
  }

  #assign(records: readonly RawRecord[], count: number): number[] {
    if (count < 1)
      throw new SluiceError('SLUICE_QUERY', `${this.#options.component}: the topic has no partition yet`, {
        retryable: true,
      })
    const sticky = this.#turn++ % count
    return records.map(({ partition, key }) => {
      if (partition === undefined) return key === undefined ? sticky : partitionOf(key, count)
      if (partition < count) return partition
      throw new SluiceError('SLUICE_INVALID_ARGUMENT', `partition: the topic has ${count}, from 0`)
    })
  }

  #positions(
    topic: string,
    partitions: readonly number[],
    offsets: readonly { readonly partition: number; readonly offset: bigint }[],
  ): readonly Published[] {
    const counts = new Map<number, number>()
    for (const partition of partitions) counts.set(partition, (counts.get(partition) ?? 0) + 1)
    const next = new Map<number, bigint>()
    for (const { partition, offset } of offsets) {
      next.set(partition, offset)
      if (offset >= 0n && !this.#watch.add(topic, partition, offset, counts.get(partition) ?? 0)) {
        this.#watch.forget(topic)
        throw new SluiceError(
          'SLUICE_OUTCOME_UNKNOWN',
          `${this.#options.component}: the broker acknowledged an offset of partition ${partition} twice; one of the messages is not stored`,
        )
      }
    }
    return partitions.map((partition) => {
      const offset = next.get(partition) ?? -1n
      if (offset >= 0n) next.set(partition, offset + 1n)
      return { topic, partition, offset }
    })
  }
}
