/** What is written here instead of by the driver: the same bytes, and the same partitions. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { loadKafka } from '../../../src/components/kafka/client/peer.ts'
import { encodeBatch } from '../../../src/components/kafka/publish/batch.ts'
import { partitionOf } from '../../../src/components/kafka/publish/partition.ts'
import type { RawRecord } from '../../../src/components/kafka/publish/record.ts'

const driver = await loadKafka()
const NOW = 1_700_000_000_000n

/** Lengths around those at which the format takes one byte more. */
const bytes = fc
  .tuple(
    fc.constantFrom(0, 1, 23, 24, 63, 64, 300, 8_191, 8_192),
    fc.integer({ min: 0, max: 2 }),
    fc.nat({ max: 255 }),
  )
  .map(([length, more, byte]) => Buffer.alloc(length + more, byte))

/** Within 25 days: of times that are further apart the driver writes the wrong ones. */
const time = fc.constantFrom(undefined, NOW - 1n, NOW, NOW + 63n, NOW + 64n, NOW + 1_000_000_000n)

const record = fc
  .record({
    key: fc.option(bytes, { nil: undefined }),
    value: fc.option(bytes, { nil: undefined }),
    headers: fc.option(fc.array(fc.tuple(bytes, bytes), { maxLength: 70, size: 'small' }), {
      nil: undefined,
    }),
    timestamp: time,
  })
  .map(({ headers, ...rest }): RawRecord => ({
    ...rest,
    topic: 't',
    partition: undefined,
    headers: headers === undefined ? undefined : new Map(headers),
    bytes: 0,
  }))

const PLAIN: RawRecord = {
  topic: 't',
  key: undefined,
  value: Buffer.from('x'),
  headers: undefined,
  partition: undefined,
  timestamp: undefined,
  bytes: 0,
}

function bytesOfDriver(records: readonly RawRecord[]): Buffer {
  const messages = records.map(({ key, value, headers, timestamp = NOW }) => ({
    topic: 't',
    key: key!,
    value: value!,
    headers: headers ?? new Map<Buffer, Buffer>(),
    timestamp,
  }))
  return driver.createRecordsBatch(messages).buffer
}

test('a batch has the bytes that the driver would send', () => {
  fc.assert(
    fc.property(fc.array(record, { minLength: 1, maxLength: 70, size: 'max' }), (records) => {
      assert.deepEqual(encodeBatch(records, NOW, driver.crc32c), bytesOfDriver(records))
    }),
    { numRuns: 100 },
  )
})

test('a batch of more messages than two bytes count has the bytes that the driver would send', () => {
  const records = Array.from({ length: 8_200 }, () => PLAIN)
  assert.deepEqual(encodeBatch(records, NOW, driver.crc32c), bytesOfDriver(records))
})

test('messages of one batch may be as far apart in time as a clock can say', () => {
  const times = [NOW, 0n, 9_007_199_254_740_991n, NOW + 2_592_000_000n]
  const records = times.map((timestamp): RawRecord => ({ ...PLAIN, timestamp }))
  const bytes = encodeBatch(records, NOW, driver.crc32c)
  const { firstTimestamp, records: read } = driver.readRecordsBatch(driver.Reader.from(bytes))
  assert.deepEqual(
    read.map(({ timestampDelta }) => firstTimestamp + timestampDelta),
    times,
  )
})

test('a key has the partition that the driver would choose as Java clients do', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), fc.integer({ min: 1, max: 1_000 }), (key, partitions) => {
      const bytes = Buffer.from(key)
      assert.equal(
        partitionOf(bytes, partitions),
        driver.compatibilityPartitioner({ topic: 't' } as never, bytes) % partitions,
      )
    }),
    { numRuns: 2_000 },
  )
})
