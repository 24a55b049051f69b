/**
 * Batches, single calls and streams through the component and through the plain driver, with as many connections and as
 * many calls at once, on the same server: the one at MONGO_URL, or 127.0.0.1:27017.
 *
 * Where that is the stand-in of `npm run services`, the rates are those of the stand-in; the ratio is of what either
 * client adds.
 */
import { randomUUID } from 'node:crypto'
import { mongo } from '../src/components/mongo/index.ts'
import { loadMongo } from '../src/components/mongo/client/peer.ts'
import { connectComponent } from '../src/testing/connect-component.ts'
import { ratio, type Benchmark, type Subject } from './harness/benchmark.ts'
import { versionOfOurs } from './harness/peers.ts'

const BATCH = 500
const AT_ONCE = 4
const CALLERS = 50
const POOL = 20
const TEXT = 'x'.repeat(200)

interface Item {
  readonly index: number
  readonly group: number
  readonly text: string
}

export const benchmark: Benchmark = {
  doc: 'batches, single calls and streams, beside the plain driver',
  peers: [],
  async run({ quick, rounds }) {
    const url = process.env['MONGO_URL'] ?? 'mongodb://127.0.0.1:27017'
    const database = `sluice_bench_${randomUUID().slice(0, 8)}`
    const ours = await connectComponent(mongo({ url, database, maxPoolSize: POOL, maxDocuments: 100_000 }))
    const module = await loadMongo()
    const client = await new module.MongoClient(url, { maxPoolSize: POOL }).connect()
    try {
      const raw = client.db(database)
      const documents = quick ? 5_000 : 30_000
      // No more: the stand-in keeps all that was ever written, 1.5 kB a document.
      const batches = quick ? 8 : 20
      const singles = quick ? 600 : 3_000
      const read = ours.api.collection<Item>('read')
      const rawRead = raw.collection<Item>('read')
      await read.createIndex({ group: 1 })
      for (let at = 0; at < documents; at += BATCH) await read.insertBatch(items(at)).waitAll()
      const groups = documents / BATCH
      let turn = 0
      const written = (): string => `written_${(turn += 1)}`
      /** Each round writes to a collection of its own, so that none meets a fuller one. */
      const writing = (
        name: string,
        calls: number,
        atOnce: number,
        each: number,
        insert: (collection: string) => () => PromiseLike<unknown>,
      ): Subject => ({
        name,
        unit: each === 1 ? 'calls/s' : 'documents/s',
        async measure() {
          const collection = written()
          await raw.collection(collection).insertOne({ warm: true })
          try {
            return (await rate(calls, atOnce, insert(collection))) * each
          } finally {
            await raw.collection(collection).drop()
          }
        },
      })
      const reading = (
        name: string,
        calls: number,
        atOnce: number,
        each: number,
        call: () => PromiseLike<unknown>,
      ): Subject => ({
        name,
        unit: each === 1 ? 'calls/s' : 'documents/s',
        measure: async () => (await rate(calls, atOnce, call)) * each,
      })
      const streaming = (name: string, open: () => AsyncIterable<Item>): Subject => ({
        name,
        unit: 'documents/s',
        async measure() {
          const startedAt = performance.now()
          let seen = 0
          for await (const { index } of open()) seen += index >= 0 ? 1 : 0
          return (seen / (performance.now() - startedAt)) * 1_000
        },
      })
      const group = (): { readonly group: number } => ({ group: (turn += 1) % groups })
      const rows = await rounds(
        [
          writing('sluice insertBatch', batches, AT_ONCE, BATCH, (name) => {
            const collection = ours.api.collection(name)
            return () => collection.insertBatch(items(0)).waitAll()
          }),
          writing('mongodb insertMany', batches, AT_ONCE, BATCH, (name) => {
            const collection = raw.collection(name)
            return () => collection.insertMany(items(0), { ordered: false })
          }),
          reading('sluice find of 500', batches, AT_ONCE, BATCH, () => read.find(group(), { limit: BATCH })),
          reading('mongodb find of 500', batches, AT_ONCE, BATCH, () =>
            rawRead.find(group(), { limit: BATCH, batchSize: BATCH }).toArray(),
          ),
          reading('sluice findOne, 50 callers', singles, CALLERS, 1, () => read.findOne(group())),
          reading('mongodb findOne, 50 callers', singles, CALLERS, 1, () => rawRead.findOne(group())),
          writing('sluice insertOne, 50 callers', singles, CALLERS, 1, (name) => {
            const collection = ours.api.collection<Item>(name)
            return () => collection.insertOne({ index: 1, group: 1, text: TEXT })
          }),
          writing('mongodb insertOne, 50 callers', singles, CALLERS, 1, (name) => {
            const collection = raw.collection<Item>(name)
            return () => collection.insertOne({ index: 1, group: 1, text: TEXT })
          }),
          streaming('sluice stream', () => read.stream({}, { batchSize: BATCH })),
          streaming('mongodb cursor', () => rawRead.find({}, { batchSize: BATCH })),
        ],
        { rounds: 7, quickRounds: 3, warmUp: 1 },
      )
      return {
        versions: { mongodb: versionOfOurs('mongodb') },
        settings: {
          batch: BATCH,
          at_once: AT_ONCE,
          callers: CALLERS,
          pool: POOL,
          documents,
          stand_in: ours.api.status()['topology'] === 'standalone',
        },
        rows,
        ratios: {
          mongo_insert_batch_vs_raw: ratio(rows, 'sluice insertBatch', 'mongodb insertMany'),
          mongo_find_batch_vs_raw: ratio(rows, 'sluice find of 500', 'mongodb find of 500'),
          mongo_find_one_vs_raw: ratio(rows, 'sluice findOne, 50 callers', 'mongodb findOne, 50 callers'),
          mongo_insert_one_vs_raw: ratio(
            rows,
            'sluice insertOne, 50 callers',
            'mongodb insertOne, 50 callers',
          ),
          mongo_stream_vs_raw: ratio(rows, 'sluice stream', 'mongodb cursor'),
        },
      }
    } finally {
      await client.db(database).dropDatabase()
      await Promise.all([client.close(), ours.close()])
    }
  },
}

function items(from: number): Item[] {
  return Array.from({ length: BATCH }, (_, at) => ({
    index: from + at,
    group: Math.floor(from / BATCH),
    text: TEXT,
  }))
}

/** Calls a second, so many at once. */
async function rate(calls: number, atOnce: number, call: () => PromiseLike<unknown>): Promise<number> {
  let started = 0
  const caller = async (): Promise<void> => {
    while (started < calls) {
      started += 1
      await call()
    }
  }
  const startedAt = performance.now()
  await Promise.all(Array.from({ length: atOnce }, caller))
  return (calls / (performance.now() - startedAt)) * 1_000
}
