/** Reads a part of a topic without a group: for dead letters. */
import type { Clients } from '../client/clients.ts'
import { closeWithin, quiet } from '../client/clients.ts'
import { driverError } from '../client/errors.ts'
import { waitOrAbort } from '../../../core/abort.ts'
import type { Clock } from '../../../core/clock.ts'

export interface StoredRecord {
  readonly partition: number
  readonly offset: bigint
  readonly timestamp: number
  readonly key: Buffer | undefined
  readonly value: Buffer | undefined
  readonly headers: readonly (readonly [string, Buffer])[]
}

const FETCH_BYTES = 1_048_576
const WAIT_MS = 500
const CLOSE_LIMIT_MS = 2_000

/** Gives at most `limit` records of each partition from its offset to its end, partition after partition. */
export async function fetchRange(options: {
  readonly component: string
  readonly clients: Clients
  readonly clock: Clock
  readonly topic: string
  readonly ranges: readonly { readonly partition: number; readonly from: bigint; readonly end: bigint }[]
  readonly limit: number
  readonly signal: AbortSignal
}): Promise<readonly StoredRecord[]> {
  const { clients, clock, topic, ranges, limit, signal, component } = options
  const { module, settings } = clients
  const consumer = quiet(
    new module.Consumer({
      ...settings,
      clientId: `${settings.clientId}-range`,
      groupId: `${topic}.range`,
      autocommit: false,
    }),
  )
  const found: StoredRecord[] = []
  try {
    const metadata = await waitOrAbort(consumer.metadata({ topics: [topic] }), signal)
    const facts = metadata.topics.get(topic)
    for (const { partition, from, end } of ranges) {
      const node = facts?.partitions[partition]?.leader
      if (facts === undefined || node === undefined) continue
      for (let next = from; next < end && found.length < limit;) {
        const part = {
          partition,
          fetchOffset: next,
          partitionMaxBytes: FETCH_BYTES,
          currentLeaderEpoch: -1,
          lastFetchedEpoch: -1,
        }
        const answer = await waitOrAbort(
          consumer.fetch({
            node,
            topics: [{ topicId: facts.id, partitions: [part] }],
            maxWaitTime: WAIT_MS,
            minBytes: 1,
            maxBytes: FETCH_BYTES,
          }),
          signal,
        )
        const before = next
        const batches = answer.responses.flatMap(({ partitions }) =>
          partitions
            .filter(({ partitionIndex }) => partitionIndex === partition)
            .flatMap(({ records }) => records ?? []),
        )
        for (const batch of batches) {
          for (const record of batch.records) {
            const offset = batch.firstOffset + BigInt(record.offsetDelta)
            if (offset < before || offset >= end || found.length >= limit) continue
            found.push({
              partition,
              offset,
              timestamp: Number(batch.firstTimestamp + record.timestampDelta),
              key: record.key ?? undefined,
              value: record.value ?? undefined,
              headers: record.headers.map(
                ([name, value]) => [name?.toString() ?? '', value ?? Buffer.alloc(0)] as const,
              ),
            })
          }
          next = batch.firstOffset + BigInt(batch.lastOffsetDelta) + 1n
        }
        // Nothing came although the end is further on: what is left was deleted or is not readable.
        if (next === before) break
      }
    }
    return found
  } catch (error) {
    if (signal.aborted) throw error
    throw driverError(error, component)
  } finally {
    await closeWithin(() => consumer.close(true), CLOSE_LIMIT_MS, clock)
  }
}
