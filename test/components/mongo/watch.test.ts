/** Change streams that go on where they were. The stand-in has them, without the place that a server gives between changes. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ChangeFeed, MongoCollection, ResumeStore } from '../../../src/components/mongo/index.ts'
import { eventually } from '../../support/eventually.ts'
import { behindProxy, hasCode, missingReplicaSet, missingServer, stage, type Stage } from './support.ts'

const skip = await missingServer()
const replicaSet = await missingReplicaSet()

interface Item {
  readonly _id: number
}
type Items = MongoCollection<Item>
type Feed = ReturnType<Items['watch']>

async function take(feed: Feed, count: number): Promise<readonly number[]> {
  const seen: number[] = []
  while (seen.length < count) {
    const { value, done } = await feed.next()
    assert.ok(done !== true && value !== undefined, 'it ended')
    if (value.operationType === 'insert') seen.push(value.documentKey._id)
  }
  return seen
}

async function put(items: Items, from: number, count: number): Promise<void> {
  for (let at = 0; at < count; at++) await items.insertOne({ _id: from + at })
}

const watches = (at: Stage): unknown => at.api.status()['watches']

test('changes of a collection come in order', { skip }, async () => {
  await using at = await stage()
  const items = at.api.collection<Item>('items')
  await put(items, 0, 1)
  await using feed = items.watch()
  await feed.ready
  await put(items, 1, 20)
  assert.deepEqual(
    await take(feed, 20),
    Array.from({ length: 20 }, (_, index) => index + 1),
  )
})

test('changes of all collections come as one feed', { skip: replicaSet }, async () => {
  await using at = await stage()
  await using feed = at.api.watch()
  await feed.ready
  await put(at.api.collection<Item>('items'), 1, 2)
  await at.api.collection('others').insertOne({ last: true })
  const collections: string[] = []
  for await (const change of feed) {
    if (change.operationType !== 'insert') continue
    collections.push(change.ns.coll)
    if (change.fullDocument['last'] === true) break
  }
  assert.deepEqual(collections, ['items', 'items', 'others'])
})

test('an invalidate is given, and ends the feed or is gone behind', { skip: replicaSet }, async () => {
  await using at = await stage()
  const items = at.api.collection<Item>('items')
  await put(items, 0, 1)
  const ending = items.watch()
  const going = items.watch({ onInvalidate: 'restart' })
  await Promise.all([ending.ready, going.ready])
  await items.drop()
  const kinds: string[] = []
  for await (const { operationType } of ending) kinds.push(operationType)
  assert.deepEqual(kinds, ['drop', 'invalidate'])
  await put(items, 1, 1)
  assert.deepEqual(await take(going, 1), [1])
  await going.close()
})

test('a feed goes on behind a token of the caller', { skip }, async () => {
  await using at = await stage()
  const items = at.api.collection<Item>('items')
  const first = items.watch()
  await first.ready
  await put(items, 0, 10)
  assert.deepEqual(await take(first, 4), [0, 1, 2, 3])
  const token = first.resumeToken
  await first.close()
  await using second = items.watch({ resumeAfter: token })
  assert.deepEqual(await take(second, 6), [4, 5, 6, 7, 8, 9])
})

test(
  'a store keeps the place: what was worked through is not given again, what was not is',
  { skip },
  async () => {
    await using at = await stage()
    const items = at.api.collection<Item>('items')
    const store = at.api.resumeStore('indexer')
    const first = items.watch({ store, saveInterval: '1h' })
    await first.ready
    await put(items, 0, 5)
    // The third was handed out, and nobody asked for the next: it may not have been worked through.
    assert.deepEqual(await take(first, 3), [0, 1, 2])
    await first.close()
    await using second = items.watch({ store })
    assert.deepEqual(await take(second, 3), [2, 3, 4])
  },
)

test('a store that fails is asked again, and a failed load fails the feed', { skip }, async () => {
  await using at = await stage()
  const items = at.api.collection<Item>('items')
  const saved: unknown[] = []
  let failures = 0
  const store: ResumeStore = {
    load: () => Promise.resolve(undefined),
    save: (token) => {
      if (failures < 1) {
        failures += 1
        throw new Error('not now')
      }
      saved.push(token)
    },
  }
  const feed = items.watch({ store, saveInterval: 1 })
  await feed.ready
  await put(items, 0, 3)
  await take(feed, 2)
  await take(feed, 1)
  await eventually(() => Promise.resolve(failures === 1 ? true : undefined))
  await put(items, 3, 1)
  await take(feed, 1)
  await feed.close()
  assert.equal(failures, 1)
  assert.ok(saved.length >= 1)
  const reason = new Error('no store')
  await using broken = items.watch({ store: { load: () => Promise.reject(reason), save: () => undefined } })
  await assert.rejects(broken.ready, reason)
  await assert.rejects(broken.next(), reason)
})

test(
  'a feed whose server is cut off, and comes back, gives every change once and in order',
  { skip },
  async () => {
    await using at = await behindProxy()
    await using direct = await stage({ database: at.database })
    const items = at.api.collection<Item>('items')
    const behind = direct.api.collection<Item>('items')
    await using feed = items.watch()
    await feed.ready
    await put(behind, 0, 5)
    assert.deepEqual(await take(feed, 5), [0, 1, 2, 3, 4])
    await at.proxy.refuse()
    at.proxy.reset()
    await put(behind, 5, 5)
    const rest = take(feed, 10)
    await eventually(() => Promise.resolve(feed.resumed > 0 ? true : undefined))
    await at.proxy.accept()
    await put(behind, 10, 5)
    assert.deepEqual(
      await rest,
      Array.from({ length: 10 }, (_, index) => index + 5),
    )
  },
)

test('a feed whose server is frozen finds out by itself', { skip }, async () => {
  await using at = await behindProxy()
  await using direct = await stage({ database: at.database })
  await using feed = at.api.collection<Item>('items').watch()
  await feed.ready
  await put(direct.api.collection<Item>('items'), 0, 1)
  assert.deepEqual(await take(feed, 1), [0])
  at.proxy.blackhole()
  const next = take(feed, 1)
  await eventually(() => Promise.resolve(feed.resumed > 0 ? true : undefined))
  at.proxy.heal()
  at.proxy.reset()
  await put(direct.api.collection<Item>('items'), 1, 1)
  assert.deepEqual(await next, [1])
})

test('an abort, a close and the close of the component end a feed that waits', { skip }, async () => {
  await using at = await stage({ maxWatches: 2 })
  const items = at.api.collection<Item>('items')
  const reason = new Error('enough')
  const controller = new AbortController()
  const aborted = items.watch({ signal: controller.signal })
  const closed = items.watch()
  await Promise.all([aborted.ready, closed.ready])
  assert.throws(() => items.watch(), hasCode('SLUICE_POOL_FULL'))
  const waiting = aborted.next()
  controller.abort(reason)
  await assert.rejects(waiting, reason)
  const other = closed.next()
  await closed.close()
  assert.equal((await other).done, true)
  assert.equal((await closed.next()).done, true)
  assert.equal(watches(at), 0)
  assert.throws(() => items.watch({ signal: AbortSignal.abort(reason) }), reason)
  const last: ChangeFeed<unknown> = items.watch()
  await last.ready
  const pending = last.next()
  await at.open.close()
  assert.equal((await pending).done, true)
})

test('a pipeline that the server refuses ends the feed with what it says', { skip }, async () => {
  await using at = await stage()
  await using feed = at.api.collection('items').watch({ pipeline: [{ $noSuchStage: {} }] })
  await assert.rejects(feed.ready, (error) => error instanceof Error)
  await assert.rejects(feed.next(), (error) => error instanceof Error)
  assert.throws(
    () => at.api.collection('items').watch({ saveInterval: 'often' as never }),
    hasCode('SLUICE_INVALID_ARGUMENT'),
  )
})
