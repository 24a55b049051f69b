/**
 * One produce request to each broker that leads partitions of it: over the connections of the driver's producer, with record
 * batches of our own. What the driver alone knows is left to its `send`: sequence numbers of an idempotent producer,
 * compression, and the requests of brokers before 2.4. Both fail with the same errors.
 */
import type { Producer } from '../client/clients.ts'
import type { KafkaModule } from '../client/peer.ts'
import type { KafkaConfig } from '../section.ts'
import { encodeBatch } from './batch.ts'
import type { StoredAt } from './partial.ts'
import type { RawRecord } from './record.ts'

/** A message, and the partition that it goes to. */
export interface PlacedRecord {
  readonly record: RawRecord
  readonly partition: number
}

export interface ProduceParts {
  readonly producer: Producer
  readonly module: KafkaModule
  readonly config: Pick<KafkaConfig, 'compression' | 'idempotent'>
}

type Batches = ReadonlyMap<number, readonly RawRecord[]>
type Connection = Awaited<ReturnType<Producer['connections']['get']>>
type Answer = ReturnType<KafkaModule['produceV11']['parseResponse']>

interface Api {
  readonly key: number
  readonly version: number
  readonly parse: KafkaModule['produceV11']['parseResponse']
}

const ACKS_OF_ALL = -1
/** How long a broker waits for its replicas; the driver's default. */
const REPLICAS_MS = 5_000

/** Where the first message of each partition is stored. All are of one topic. */
export async function produce(
  parts: ProduceParts,
  topic: string,
  placed: readonly PlacedRecord[],
): Promise<readonly StoredAt[]> {
  const { producer, module, config } = parts
  const api = config.idempotent || config.compression !== 'none' ? undefined : await apiOf(producer, module)
  if (api === undefined) return sendByDriver(parts, topic, placed)
  const { brokers, topics } = await producer.metadata({ topics: [topic] })
  const partitions = topics.get(topic)?.partitions ?? []
  const requests = byLeader(placed, (partition) => partitions[partition]?.leader)
  const outcomes = await Promise.allSettled(
    [...requests].map(async ([leader, batches]) => {
      // One that is not there is refused as the driver refuses it.
      const connection = await producer.connections.get(brokers.get(leader ?? -1)!)
      return request(connection, api, () => payload(module, topic, batches))
    }),
  )
  const stored = outcomes.flatMap((each) => (each.status === 'fulfilled' ? storedAt(each.value) : []))
  const errors = outcomes.flatMap((each) => (each.status === 'rejected' ? [each.reason as Error] : []))
  if (errors.length === 0) return stored
  throw new module.MultipleErrors('Producing messages failed.', errors, { produced: { offsets: stored } })
}

/** Undefined where the broker's version is written in another way. */
async function apiOf(producer: Producer, module: KafkaModule): Promise<Api | undefined> {
  const { key, version } = await new Promise<{ readonly key: number; readonly version: number }>(
    (resolve, reject) =>
      producer[module.kGetApi]('Produce', (error, api) => (error === null ? resolve(api!) : reject(error))),
  )
  if (version === 9) return { key, version, parse: module.produceV9.parseResponse }
  if (version === 10) return { key, version, parse: module.produceV10.parseResponse }
  if (version === 11) return { key, version, parse: module.produceV11.parseResponse }
  return undefined
}

function byLeader(
  placed: readonly PlacedRecord[],
  leaderOf: (partition: number) => number | undefined,
): ReadonlyMap<number | undefined, Batches> {
  const batches = new Map<number, RawRecord[]>()
  for (const { record, partition } of placed) {
    const batch = batches.get(partition)
    if (batch === undefined) batches.set(partition, [record])
    else batch.push(record)
  }
  const leaders = new Map<number | undefined, Map<number, readonly RawRecord[]>>()
  for (const [partition, batch] of batches) {
    const leader = leaderOf(partition)
    const own = leaders.get(leader)
    if (own === undefined) leaders.set(leader, new Map([[partition, batch]]))
    else own.set(partition, batch)
  }
  return leaders
}

function request(connection: Connection, api: Api, create: () => Payload): Promise<Answer> {
  return new Promise((resolve, reject) =>
    connection.send<Answer>(api.key, api.version, create, api.parse, true, true, (error, answer) =>
      error === null ? resolve(answer!) : reject(error),
    ),
  )
}

type Payload = ReturnType<KafkaModule['Writer']['create']>

/** https://kafka.apache.org/protocol#The_Messages_Produce, versions 9 to 11. */
function payload({ Writer, crc32c }: KafkaModule, topic: string, batches: Batches): Payload {
  const now = BigInt(Date.now())
  return Writer.create()
    .appendString(null)
    .appendInt16(ACKS_OF_ALL)
    .appendInt32(REPLICAS_MS)
    .appendArray([topic], (body, name) =>
      body.appendString(name).appendArray([...batches], (part, [partition, records]) => {
        part.appendInt32(partition).appendBytes(encodeBatch(records, now, crc32c))
      }),
    )
    .appendTaggedFields()
}

function storedAt({ responses }: Answer): readonly StoredAt[] {
  return responses.flatMap(({ partitionResponses }) =>
    partitionResponses.map(({ index, baseOffset }) => ({ partition: index, offset: baseOffset })),
  )
}

async function sendByDriver(
  { producer, config }: ProduceParts,
  topic: string,
  placed: readonly PlacedRecord[],
): Promise<readonly StoredAt[]> {
  const messages = placed.map(({ record: { key, value, headers, timestamp }, partition }) => ({
    topic,
    partition,
    ...(key === undefined ? {} : { key }),
    ...(value === undefined ? {} : { value }),
    ...(headers === undefined ? {} : { headers }),
    ...(timestamp === undefined ? {} : { timestamp }),
  }))
  const { offsets } = await producer.send({ messages, acks: ACKS_OF_ALL, compression: config.compression })
  return offsets ?? []
}
