/** Positions: where topics begin and end, what a group has committed, and putting it elsewhere. */
import { invalidArgument } from '../../../core/errors.ts'
import type { Clients } from '../client/clients.ts'
import type { Position } from '../consume/options.ts'
import type { TopicAdmin } from './topics.ts'

export interface Place {
  readonly topic: string
  readonly partition: number
}

export interface PlaceAt extends Place {
  readonly offset: bigint
}

/** How far a group is behind. */
export interface Lag {
  readonly total: bigint
  readonly partitions: readonly {
    readonly topic: string
    readonly partition: number
    /** Messages that are stored and not committed. */
    readonly lag: bigint
    /** The next one to be committed; -1 where the group has committed nothing. */
    readonly committed: bigint
    readonly end: bigint
  }[]
}

/** What the protocol calls the ends of a partition. */
const LATEST = -1n
const EARLIEST = -2n

export class OffsetAdmin {
  readonly #clients: Clients
  readonly #topics: TopicAdmin

  constructor(clients: Clients, topics: TopicAdmin) {
    this.#clients = clients
    this.#topics = topics
  }

  async placesOf(topics: readonly string[], signal?: AbortSignal): Promise<readonly Place[]> {
    const places: Place[] = []
    for (const topic of topics) {
      const count = await this.#topics.partitionsOf(topic, signal)
      for (let partition = 0; partition < count; partition++) places.push({ topic, partition })
    }
    return places
  }

  /** The offsets of a position. A time after the last message is the end. */
  async find(
    places: readonly Place[],
    position: Position,
    signal?: AbortSignal,
  ): Promise<readonly PlaceAt[]> {
    if (places.length === 0) return []
    if (typeof position === 'object' && 'offsets' in position) {
      const { offsets } = position
      return places
        .filter(({ partition }) => offsets[partition] !== undefined)
        .map((place) => ({ ...place, offset: offsetOf(offsets[place.partition]!) }))
    }
    if (position === 'beginning') return this.#at(places, EARLIEST, signal)
    const ends = await this.#at(places, LATEST, signal)
    if (position === 'end') return ends
    const time = typeof position.time === 'number' ? position.time : position.time.getTime()
    if (!Number.isSafeInteger(time) || time < 0)
      throw invalidArgument('time', 'milliseconds since 1970, or a date', time)
    const found = await this.#at(places, BigInt(time), signal)
    return found.map((place) => {
      if (place.offset >= 0n) return place
      return { ...place, offset: ends.find((end) => isSame(end, place))!.offset }
    })
  }

  async committed(
    topics: readonly string[],
    group: string,
    signal?: AbortSignal,
  ): Promise<readonly PlaceAt[]> {
    const places = await this.placesOf(topics, signal)
    const byTopic = Map.groupBy(places, ({ topic }) => topic)
    const answer = await this.#clients.ask(signal, (admin) =>
      admin.listConsumerGroupOffsets({
        groups: [
          {
            groupId: group,
            topics: [...byTopic].map(([name, own]) => ({
              name,
              partitionIndexes: own.map(({ partition }) => partition),
            })),
          },
        ],
      }),
    )
    const known = answer.find(({ groupId }) => groupId === group)?.topics ?? []
    return places.map((place) => {
      const partitions = known.find(({ name }) => name === place.topic)?.partitions ?? []
      const own = partitions.find(({ partitionIndex }) => partitionIndex === place.partition)
      return { ...place, offset: own?.committedOffset ?? -1n }
    })
  }

  async lag(topics: readonly string[], group: string, signal?: AbortSignal): Promise<Lag> {
    const committed = await this.committed(topics, group, signal)
    const ends = await this.#at(committed, LATEST, signal)
    const begins = await this.#at(committed, EARLIEST, signal)
    const partitions = committed.map((place) => {
      const end = ends.find((each) => isSame(each, place))!.offset
      const begin = begins.find((each) => isSame(each, place))!.offset
      // Where nothing is committed, or what was has been deleted, all that is stored is left.
      const from = place.offset < begin ? begin : place.offset
      return {
        topic: place.topic,
        partition: place.partition,
        lag: end > from ? end - from : 0n,
        committed: place.offset,
        end,
      }
    })
    return { total: partitions.reduce((sum, { lag }) => sum + lag, 0n), partitions }
  }

  /** Puts a group that has no members. Rejects with SLUICE_CONFLICT where it has some. */
  async put(group: string, places: readonly PlaceAt[], signal?: AbortSignal): Promise<void> {
    const topics = [...Map.groupBy(places, ({ topic }) => topic)].map(([name, own]) => ({
      name,
      partitionOffsets: own.map(({ partition, offset }) => ({ partition, offset })),
    }))
    if (topics.length > 0)
      await this.#clients.ask(signal, (admin) => admin.alterConsumerGroupOffsets({ groupId: group, topics }))
  }

  /** A group that has committed nothing begins there. Where another member is there already, its beginning counts. */
  async begin(
    topics: readonly string[],
    group: string,
    position: Position,
    signal?: AbortSignal,
  ): Promise<void> {
    const missing = (await this.committed(topics, group, signal)).filter(({ offset }) => offset < 0n)
    if (missing.length === 0) return
    const found = await this.find(missing, position, signal)
    await this.put(group, found, signal).catch((error: unknown) => {
      if (!(error instanceof Error && 'code' in error && error.code === 'SLUICE_CONFLICT')) throw error
    })
  }

  async #at(
    places: readonly Place[],
    timestamp: bigint,
    signal: AbortSignal | undefined,
  ): Promise<readonly PlaceAt[]> {
    const topics = [...Map.groupBy(places, ({ topic }) => topic)].map(([name, own]) => ({
      name,
      partitions: own.map(({ partition }) => ({ partitionIndex: partition, timestamp })),
    }))
    const answer = await this.#clients.ask(signal, (admin) => admin.listOffsets({ topics }))
    return answer.flatMap(({ name, partitions }) =>
      partitions.map(({ partitionIndex, offset }) => ({ topic: name, partition: partitionIndex, offset })),
    )
  }
}

function isSame(one: Place, other: Place): boolean {
  return one.topic === other.topic && one.partition === other.partition
}

function offsetOf(value: bigint | number): bigint {
  if (typeof value === 'bigint' && value >= 0n) return value
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return BigInt(value)
  throw invalidArgument('offset', 'a whole number from 0', String(value))
}
