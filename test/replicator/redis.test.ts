/** The whole on a Redis server of its own: frozen, killed, emptied; afterwards the store is what the source is. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Generator } from '../../examples/replicator/source/generator.ts'
import { StreamLog, type Data } from '../../examples/replicator/source/stream-log.ts'
import type { SourceServer } from '../../examples/replicator/source/server.ts'
import { redis, type Redis } from '../../src/components/redis/index.ts'
import { redisSink, replicaKeys, type Replicator } from '../../src/replicator/index.ts'
import { connectComponent, type OpenComponent } from '../../src/testing/connect-component.ts'
import { missingServerProgram, ownServer } from '../components/redis/own-server.ts'
import { eventually } from '../support/eventually.ts'
import { canonical, expected, PLURALS, replicatorOf, START_MS, startSource } from './support.ts'

const skip = await missingServerProgram()
const keys = replicaKeys()

async function storedIn(store: Redis): Promise<Record<string, string>> {
  const all: Record<string, string> = {}
  for (const lane of Object.keys(PLURALS)) {
    const start = keys.entity(lane, '')
    for await (const key of store.scan({ match: `${start}*`, count: 1_000 })) {
      all[`${lane}:${key.slice(start.length)}`] = canonical((await store.getJson<Data>(key)) ?? {})
    }
  }
  return all
}

/** The redis component as an app runs it: connected again whenever it was lost. */
async function cacheOf(addr: string) {
  const cache = await connectComponent(
    redis({ addr, dialTimeout: 500, readTimeout: 500, writeTimeout: 500, pingInterval: 100 }),
  )
  let losses = 0
  const timer = setInterval(() => {
    if (cache.losses.length === losses) return
    cache.connect().then(
      () => (losses = cache.losses.length),
      () => {},
    )
  }, 50)
  return {
    api: cache.api,
    [Symbol.asyncDispose]: async () => {
      clearInterval(timer)
      await cache.close()
    },
  }
}

async function inStep(source: SourceServer, { api }: OpenComponent<Replicator>, store: Redis): Promise<void> {
  const { ms, seq } = source.log.last
  await eventually(() => {
    const { cursor, ready } = api.stats()
    return Promise.resolve(ready && cursor === `${ms}-${seq}` ? true : undefined)
  })
  assert.deepEqual(await storedIn(store), expected(source.log))
}

const ENTITIES = { company: 60, user: 40, flag: 5 }

async function stage() {
  const log = new StreamLog(PLURALS, 50_000, START_MS)
  const generator = new Generator(log, {
    seed: 3,
    entities: ENTITIES,
    partials: 0.4,
    deletes: 0.05,
    bulk: 0.02,
  })
  generator.seed()
  const source = await startSource({ log })
  let at = START_MS
  const run = (messages: number): void => {
    for (let index = 0; index < messages; index++) generator.step((at += index % 3))
    source.pump()
  }
  return { source, run, [Symbol.asyncDispose]: () => source.stop() }
}

test(
  'redis follows the stream, is warm after a restart, and finds entities by their other names',
  { skip },
  async () => {
    await using server = await ownServer()
    await using cache = await cacheOf(server.addr)
    await using made = await stage()
    const { source, run } = made
    const options = { sink: redisSink({ redis: cache.api }), lookupField: 'keys' }
    const first = await connectComponent(replicatorOf(source, options))
    run(500)
    await inStep(source, first, cache.api)
    const signal = AbortSignal.timeout(5_000)
    await first.component.stopIntake?.(signal)
    await first.component.drain?.(signal)
    await first.close()
    const { pages } = source
    run(100)
    await using second = await connectComponent(replicatorOf(source, options))
    run(200)
    await inStep(source, second, cache.api)
    assert.equal(source.pages, pages, 'no load was needed')
    for (const [id, data] of source.log.lanes.get('company')?.byId ?? []) {
      if (data !== undefined) assert.equal(await cache.api.get(keys.lookup('company', `slug:${id}`)), id)
    }
  },
)

test('a frozen server holds the stream up, and nothing is lost when it goes on', { skip }, async () => {
  await using server = await ownServer()
  await using cache = await cacheOf(server.addr)
  await using made = await stage()
  const { source, run } = made
  await using open = await connectComponent(
    replicatorOf(source, {
      sink: redisSink({ redis: cache.api, timeout: 300, lease: 1_000 }),
      writeTimeout: 400,
      circuitBreakerThreshold: 2,
      circuitBreakerTimeout: 100,
    }),
  )
  run(200)
  await inStep(source, open, cache.api)
  server.freeze()
  run(2_000)
  await eventually(() => Promise.resolve(open.api.stats().breaker === 'closed' ? undefined : true))
  run(2_000)
  server.thaw()
  await inStep(source, open, cache.api)
  for (const lane of Object.values(open.api.stats().lanes)) assert.equal(lane.dropped, 0)
})

test('a server that comes back empty is filled again', { skip }, async () => {
  await using server = await ownServer()
  await using cache = await cacheOf(server.addr)
  await using made = await stage()
  const { source, run } = made
  await using open = await connectComponent(
    replicatorOf(source, {
      sink: redisSink({ redis: cache.api, timeout: 300, lease: 1_000 }),
      writeTimeout: 400,
    }),
  )
  run(300)
  await server.kill()
  run(300)
  await server.start()
  run(300)
  await inStep(source, open, cache.api)
  assert.ok(open.api.stats().sessions > 1)
})
