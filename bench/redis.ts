/**
 * Gets and sets at 100 callers through the component and through plain node-redis, on the same server, each over one
 * connection: the one at REDIS_ADDR, or 127.0.0.1:6379.
 *
 * Each caller waits for its answer before it asks again. node-redis is measured as its users have it, where each command
 * has a deadline of the driver's own, and without that deadline, which a plain client then lacks and an operation of
 * sluice has all the same.
 */
import { createClient } from 'redis'
import { redis } from '../src/components/redis/index.ts'
import { connectComponent } from '../src/testing/connect-component.ts'
import { ratio, type Benchmark, type Subject } from './harness/benchmark.ts'
import { versionOfOurs } from './harness/peers.ts'

const CALLERS = 100
const KEYS = 1_000
const BATCH = 500
const VALUE = 'x'.repeat(64)
const PREFIX = 'sluice-bench:'
const DRIVER_DEADLINE_MS = 5_000

type Ask = (key: string) => Promise<unknown>
type AskMany = (keys: readonly string[]) => Promise<unknown>

export const benchmark: Benchmark = {
  doc: 'gets, sets and batches at 100 callers, beside plain node-redis',
  peers: [],
  async run({ quick, rounds }) {
    const addr = process.env['REDIS_ADDR'] ?? '127.0.0.1:6379'
    const url = addr.includes('://') ? addr : `redis://${addr}`
    const ours = await connectComponent(redis({ addr, keyPrefix: PREFIX }), { name: 'cache' })
    const inMemory = await connectComponent(redis({ keyPrefix: PREFIX }), { name: 'cache' })
    const plain = await createClient({ url, commandOptions: { timeout: DRIVER_DEADLINE_MS } }).connect()
    const bare = await createClient({ url, commandOptions: { timeout: 0 } }).connect()
    try {
      const many = quick ? 20_000 : 400_000
      const batches = quick ? 50 : 1_000
      const { api: cache } = ours
      const clients = { 'node-redis': plain, 'node-redis, no deadline': bare }
      const single: Readonly<Record<string, Ask>> = {
        'sluice get': (key) => cache.get(key),
        'sluice set': (key) => cache.set(key, VALUE),
        'sluice in memory, get': (key) => inMemory.api.get(key),
      }
      const subjects: Subject[] = Object.entries(single).map(([name, ask]) => callers(name, ask, many))
      for (const [name, client] of Object.entries(clients)) {
        subjects.push(callers(`${name} get`, (key) => client.get(PREFIX + key), many))
        subjects.push(callers(`${name} set`, (key) => client.set(PREFIX + key, VALUE), many))
      }
      const inBatches: Readonly<Record<string, AskMany>> = {
        'sluice getBatch': (keys) => cache.getBatch(keys).waitAll(),
        'node-redis mGet': (keys) => plain.mGet(keys.map((key) => PREFIX + key)),
        'sluice pipeline': (keys) => cache.pipeline((p) => keys.map((key) => p.set(key, VALUE))).waitAll(),
        'node-redis execAsPipeline': (keys) => {
          const multi = plain.multi()
          for (const key of keys) multi.set(PREFIX + key, VALUE)
          return multi.execAsPipeline()
        },
      }
      for (const [name, ask] of Object.entries(inBatches)) subjects.push(oneAfterAnother(name, ask, batches))
      const rows = await rounds(subjects)
      const server = /^redis_version:(\S+)/m.exec(await bare.info('server'))?.[1] ?? 'unknown'
      return {
        versions: { redis: versionOfOurs('redis'), 'redis-server': server },
        settings: { callers: CALLERS, calls: many, batch: BATCH, valueBytes: VALUE.length },
        rows,
        ratios: {
          redis_get_vs_raw: ratio(rows, 'sluice get', 'node-redis get'),
          redis_set_vs_raw: ratio(rows, 'sluice set', 'node-redis set'),
          redis_get_vs_raw_no_deadline: ratio(rows, 'sluice get', 'node-redis, no deadline get'),
          redis_set_vs_raw_no_deadline: ratio(rows, 'sluice set', 'node-redis, no deadline set'),
          redis_get_batch_vs_raw: ratio(rows, 'sluice getBatch', 'node-redis mGet'),
          redis_pipeline_vs_raw: ratio(rows, 'sluice pipeline', 'node-redis execAsPipeline'),
        },
      }
    } finally {
      await ours.api.delBatch(Array.from({ length: KEYS }, (_, at) => `key:${at}`)).waitAll()
      await Promise.all([ours.close(), inMemory.close(), plain.close(), bare.close()])
    }
  },
}

function callers(name: string, ask: Ask, calls: number): Subject {
  return {
    name,
    unit: 'calls/s',
    async measure() {
      let started = 0
      const caller = async (): Promise<void> => {
        while (started < calls) {
          started += 1
          await ask(`key:${started % KEYS}`)
        }
      }
      const startedAt = performance.now()
      await Promise.all(Array.from({ length: CALLERS }, caller))
      return (calls / (performance.now() - startedAt)) * 1_000
    },
  }
}

function oneAfterAnother(name: string, ask: AskMany, batches: number): Subject {
  const keys = Array.from({ length: BATCH }, (_, at) => `key:${at}`)
  return {
    name,
    unit: 'keys/s',
    async measure() {
      const startedAt = performance.now()
      for (let at = 0; at < batches; at += 1) await ask(keys)
      return ((batches * BATCH) / (performance.now() - startedAt)) * 1_000
    },
  }
}
