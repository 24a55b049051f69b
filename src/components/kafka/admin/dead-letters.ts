/**
 * The dead letters of a topic and a group: a topic of their own, read from where the last redrive ended.
 *
 * A redrive copies them into the group's topic of redriven messages, which its consumers read beside the topic itself, so
 * that no other group sees them, and then moves the mark. A crash between the two redrives some of them twice.
 */
import type { Clock } from '../../../core/clock.ts'
import type { Clients } from '../client/clients.ts'
import { HEADERS } from '../consume/failure.ts'
import { deadTopic, redrivenTopic } from '../consume/names.ts'
import type { RawRecord } from '../publish/record.ts'
import type { Sender } from '../publish/sender.ts'
import { fetchRange, type StoredRecord } from './fetch-range.ts'
import type { OffsetAdmin } from './offsets.ts'
import type { TopicAdmin } from './topics.ts'

export interface KafkaDeadLetter {
  /** Where it came from first. */
  readonly topic: string
  readonly partition: number
  readonly offset: bigint
  /** Its bytes as they were published. */
  readonly key: Buffer | undefined
  readonly value: Buffer | undefined
  /** Its own headers, as texts. */
  readonly headers: Readonly<Record<string, string>>
  /** Code or name of the last error, and its text, redacted. */
  readonly code: string
  readonly reason: string
  readonly attempts: number
  readonly failedAt: Date
}

const OURS = new Set<string>(Object.values(HEADERS))
const REQUEST = 500

export interface DeadLetterParts {
  readonly component: string
  readonly clients: Clients
  readonly clock: Clock
  readonly offsets: OffsetAdmin
  readonly topics: TopicAdmin
  readonly sender: Sender
}

export class DeadLetters {
  readonly #parts: DeadLetterParts

  constructor(parts: DeadLetterParts) {
    this.#parts = parts
  }

  async list(
    topic: string,
    group: string,
    limit: number,
    signal: AbortSignal,
  ): Promise<readonly KafkaDeadLetter[]> {
    return (await this.#read(topic, group, limit, signal)).map(letterOf)
  }

  /** Resolves with how many were put back. */
  async redrive(topic: string, group: string, limit: number, signal: AbortSignal): Promise<number> {
    const { sender, offsets } = this.#parts
    const records = await this.#read(topic, group, limit, signal)
    const dead = deadTopic(topic, group)
    for (let at = 0; at < records.length; at += REQUEST) {
      const part = records.slice(at, at + REQUEST)
      await sender.send(
        part.map((record) => redriven(record, redrivenTopic(topic, group))),
        signal,
      )
      const marks = new Map<number, bigint>()
      for (const { partition, offset } of part) marks.set(partition, offset + 1n)
      await offsets.put(
        markGroup(dead),
        [...marks].map(([partition, offset]) => ({ topic: dead, partition, offset })),
        signal,
      )
    }
    return records.length
  }

  async #read(
    topic: string,
    group: string,
    limit: number,
    signal: AbortSignal,
  ): Promise<readonly StoredRecord[]> {
    const { component, clients, clock, offsets, topics } = this.#parts
    const dead = deadTopic(topic, group)
    if (!(await topics.list(signal)).includes(dead)) return []
    const { partitions } = await offsets.lag([dead], markGroup(dead), signal)
    const ranges = partitions
      .filter(({ lag }) => lag > 0n)
      .map(({ partition, lag, end }) => ({ partition, from: end - lag, end }))
    return fetchRange({ component, clients, clock, topic: dead, ranges, limit, signal })
  }
}

/** A group without members whose offsets say what was redriven. */
function markGroup(dead: string): string {
  return `${dead}.redrive`
}

function letterOf({ key, value, headers }: StoredRecord): KafkaDeadLetter {
  const texts = Object.fromEntries(headers.map(([name, bytes]) => [name, bytes.toString()]))
  return {
    topic: texts[HEADERS.topic] ?? '',
    partition: Number(texts[HEADERS.partition] ?? -1),
    offset: /^\d+$/.test(texts[HEADERS.offset] ?? '') ? BigInt(texts[HEADERS.offset]!) : -1n,
    key,
    value,
    headers: Object.fromEntries(Object.entries(texts).filter(([name]) => !OURS.has(name))),
    code: texts[HEADERS.code] ?? '',
    reason: texts[HEADERS.reason] ?? '',
    attempts: Number(texts[HEADERS.attempts] ?? 0),
    failedAt: new Date(texts[HEADERS.failedAt] ?? 0),
  }
}

/** It begins at its first attempt again, and remembers where it came from. */
function redriven({ key, value, headers }: StoredRecord, topic: string): RawRecord {
  const kept = new Set<string>([HEADERS.topic, HEADERS.partition, HEADERS.offset, HEADERS.timestamp])
  return {
    topic,
    key,
    value,
    headers: new Map(
      headers
        .filter(([name]) => !OURS.has(name) || kept.has(name))
        .map(([name, bytes]) => [Buffer.from(name), bytes]),
    ),
    partition: undefined,
    timestamp: undefined,
    bytes: 0,
  }
}
