/** A bad network between the component and a server. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isSluiceError } from '../../../src/core/errors.ts'
import { createApp } from '../../../src/index.ts'
import { mongo } from '../../../src/components/mongo/index.ts'
import { silentLogger } from '../../../src/telemetry/log.ts'
import { eventually } from '../../support/eventually.ts'
import {
  behindProxy,
  dropDatabases,
  hasCode,
  missingServer,
  ownName,
  proxied,
  stage,
  type Proxied,
} from './support.ts'

const skip = await missingServer()
const GONE = hasCode('SLUICE_TIMEOUT', 'SLUICE_UNAVAILABLE', 'SLUICE_OUTCOME_UNKNOWN', 'SLUICE_BREAKER_OPEN')

/** Calls again until the breaker lets it through and the server answers. */
async function untilWorks(call: () => PromiseLike<unknown>): Promise<void> {
  await eventually(() =>
    Promise.resolve(call()).then(
      () => true,
      (error: unknown) => (assert.ok(isSluiceError(error), String(error)), undefined),
    ),
  )
}

/** Those that are open carry what is sent; a new one would wait for the answer to its greeting. */
async function fourConnections(at: Proxied): Promise<void> {
  await eventually(() => Promise.resolve((at.api.status()['connections'] as number) >= 4 ? true : undefined))
}

function everyCall(at: Proxied): readonly (() => PromiseLike<unknown>)[] {
  const items = at.api.collection('items')
  return [
    () => items.insertOne({ a: 1 }),
    () => items.insertMany([{ a: 1 }]),
    () => items.insertBatch([{ a: 1 }]).results[0]!,
    () => items.find(),
    () => items.findOne(),
    () => items.updateOne({}, { $set: { a: 1 } }),
    () => items.replaceOne({}, { a: 1 }),
    () => items.deleteMany({ a: 9 }),
    () => items.findOneAndUpdate({}, { $set: { a: 1 } }),
    () => items.count(),
    () => items.distinct('a'),
    () => items.aggregate([]),
    () => items.estimatedCount(),
    () => items.createIndex({ a: 1 }),
    () => items.stream().next(),
    () => at.api.command({ ping: 1 }),
    () => at.api.collections(),
    () => items.drop(),
  ]
}

test(
  'an app listens at once while its server is absent, and is connected soon after it comes',
  { skip },
  async () => {
    const { proxy, url } = await proxied()
    await proxy.refuse()
    const app = createApp({
      name: 'late',
      port: 0,
      host: '127.0.0.1',
      env: {},
      logger: silentLogger,
      components: { mongo: mongo({ url, dialTimeout: '500ms', selectionTimeout: '500ms' }) },
    })
    try {
      await app.start()
      assert.equal(app.components.mongo.status().connected, false)
      await proxy.accept()
      await eventually(() => Promise.resolve(app.components.mongo.status().connected ? true : undefined))
    } finally {
      await app.stop()
      await proxy.close()
    }
  },
)

test(
  'a silent server fails every kind of call at its deadline, and leaves no connection that waits',
  { skip },
  async () => {
    await using at = await behindProxy({ maxRetries: 0, requestTimeout: '700ms' })
    await at.api.collection('items').insertOne({ a: 1 })
    at.proxy.blackhole()
    for (const call of everyCall(at)) await assert.rejects(Promise.resolve(call()), GONE)
    // Those that the calls had are closed, and not given to the next.
    await eventually(() =>
      Promise.resolve((at.api.status()['connections'] as number) === 0 ? true : undefined),
    )
    at.proxy.heal()
    at.proxy.reset()
    await untilWorks(() => at.api.collection('items').findOne())
    for (const call of everyCall(at)) await call()
  },
)

test('closing while the server is silent takes no longer than its limit', { skip }, async () => {
  await using at = await behindProxy({ requestTimeout: '30s', heartbeat: '60s' })
  await at.api.collection('items').insertOne({ a: 1 })
  at.proxy.blackhole()
  const pending = Promise.allSettled([
    at.api.collection('items').findOne(),
    at.api.collection('items').stream().next(),
  ])
  const startedAt = performance.now()
  await at.open.close()
  // Far from the 30 seconds of the calls, also on a machine that is busy.
  assert.ok(performance.now() - startedAt < 20_000)
  for (const result of await pending) assert.equal(result.status, 'rejected')
})

test('a cut connection: reads are repeated, writes of which nobody knows say so', { skip }, async () => {
  await using at = await behindProxy({ requestTimeout: '20s', selectionTimeout: '5s', minPoolSize: 4 })
  const items = at.api.collection('items')
  await items.insertOne({ a: 1 })
  await fourConnections(at)
  at.proxy.drop('down')
  const read = items.findOne({ a: 1 })
  const write = items.updateOne({ a: 1 }, { $inc: { n: 1 } })
  const settled = Promise.allSettled([read, write])
  await using direct = await stage({ database: at.database })
  await eventually(async () =>
    (await direct.api.collection('items').findOne({ n: 1 })) === null ? undefined : true,
  )
  at.proxy.heal()
  at.proxy.reset()
  const [found, changed] = await settled
  assert.equal(found.status, 'fulfilled')
  assert.equal(changed.status, 'rejected')
  assert.ok(hasCode('SLUICE_OUTCOME_UNKNOWN')((changed as PromiseRejectedResult).reason))
  // It was not sent twice.
  assert.equal((await direct.api.collection('items').findOne({ a: 1 }))?.['n'], 1)
})

test('an insert whose answer is lost is stored once, by the id that was made here', { skip }, async () => {
  await using at = await behindProxy({ requestTimeout: '20s', selectionTimeout: '5s', minPoolSize: 4 })
  const items = at.api.collection('items')
  await items.insertOne({ a: 'warm' })
  await using direct = await stage({ database: at.database })
  const stored = direct.api.collection('items')
  await fourConnections(at)
  at.proxy.drop('down')
  const one = items.insertOne({ a: 'one' })
  const many = items.insertBatch([{ a: 'many' }, { a: 'many' }, { a: 'many' }])
  const own = items.insertOne({ _id: 'mine' as never, a: 'own' }).then(
    () => 'stored',
    (error: unknown) => error,
  )
  await eventually(async () => ((await stored.count({ a: { $ne: 'warm' } })) >= 5 ? true : undefined))
  at.proxy.heal()
  at.proxy.reset()
  const { insertedId } = await one
  const { values, errors } = await many.waitAll()
  assert.deepEqual(errors.filter(Boolean), [])
  assert.equal((await stored.findOne({ a: 'one' }))?._id.toString(), insertedId.toString())
  assert.deepEqual(
    values.map((value) => String(value?.insertedId)).toSorted(),
    (await stored.find({ a: 'many' })).map(({ _id }) => String(_id)).toSorted(),
  )
  // Its id may have been there before, so nobody can say.
  assert.ok(hasCode('SLUICE_OUTCOME_UNKNOWN')(await own))
  assert.equal(await stored.count(), 6)
})

test('resets in a row leave nothing open, and what was acknowledged is stored', { skip }, async () => {
  await using at = await behindProxy({
    requestTimeout: '20s',
    selectionTimeout: '5s',
    maxPoolSize: 4,
    maxWatches: 0,
  })
  const items = at.api.collection('items')
  await items.insertOne({ round: -1 })
  const acknowledged: number[] = []
  for (let round = 0; round < 30; round++) {
    const inserting = items.insertOne({ round }).then(
      () => void acknowledged.push(round),
      (error: unknown) => assert.ok(isSluiceError(error), String(error)),
    )
    at.proxy.reset()
    await inserting
  }
  await untilWorks(() => items.findOne())
  const stored = new Set((await items.find()).map((each) => each['round'] as number))
  for (const round of acknowledged) assert.ok(stored.has(round), `round ${round} is gone`)
  assert.equal((await items.find()).length, stored.size, 'one was stored twice')
  // Four for calls, and those that watch the server.
  await eventually(() => Promise.resolve(at.proxy.connections.length <= 4 + 3 ? true : undefined))
})

test('slow, sliced and coalesced answers are read right', { skip }, async () => {
  await using at = await behindProxy({ requestTimeout: '60s', dialTimeout: '20s', selectionTimeout: '20s' })
  const items = at.api.collection<{ index: number }>('items')
  at.proxy.slice(1)
  await items.insertMany(Array.from({ length: 20 }, (_, index) => ({ index })))
  assert.equal((await items.find()).length, 20)
  at.proxy.heal()
  at.proxy.latency('30ms', { jitter: '20ms' })
  const found = await Promise.all(Array.from({ length: 20 }, (_, index) => items.findOne({ index })))
  assert.deepEqual(
    found.map((each) => each?.index),
    Array.from({ length: 20 }, (_, index) => index),
  )
})

test('a slow server fills the queue up to its bound, and no further', { skip }, async () => {
  await using at = await behindProxy({ requestTimeout: '30s', maxPoolSize: 2, maxWaiting: 10 })
  const items = at.api.collection('items')
  await items.insertOne({ a: 1 })
  at.proxy.latency('50ms')
  const results = await Promise.allSettled(Array.from({ length: 100 }, () => items.findOne()))
  const refused = results.filter(
    (result) =>
      result.status === 'rejected' &&
      isSluiceError(result.reason) &&
      result.reason.code === 'SLUICE_POOL_FULL',
  )
  assert.equal(refused.length, 88)
  assert.equal(results.length - refused.length, results.filter(({ status }) => status === 'fulfilled').length)
})

test('a server that keeps coming and going is used whenever it is there', { skip }, async () => {
  const database = ownName()
  await using at = await behindProxy({ database, requestTimeout: '2s' })
  const items = at.api.collection('items')
  for (let round = 0; round < 5; round++) {
    await at.proxy.refuse()
    at.proxy.reset()
    await assert.rejects(Promise.resolve(items.findOne({}, { timeout: '100ms' })), GONE)
    await at.proxy.accept()
    await untilWorks(() => items.insertOne({ round }))
  }
  assert.ok((await items.count()) >= 5)
  await dropDatabases(database)
})
