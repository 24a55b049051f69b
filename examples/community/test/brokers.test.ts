/** With a broker, an archive or a cache, by nothing but their addresses: what follows is the same. */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, test } from 'node:test'
import { MongoClient, type Document } from 'mongodb'
import { missingServer, ownName, URL as MONGO } from '../../../test/components/mongo/support.ts'
import { at, ownVhost } from '../../../test/components/rabbitmq/support.ts'
import { serverAt } from '../../../test/support/servers.ts'
import type { Page } from '../routes/feed.ts'
import {
  comment,
  community,
  eventually,
  must,
  publish,
  register,
  settled,
  Witness,
  type Community,
} from './support.ts'

const vhost = await ownVhost()
const redis = await serverAt('redis')
after(() => vhost[Symbol.asyncDispose]())

test(
  'on RabbitMQ: others read what happens here, and all that follows is there once',
  { skip: vhost.skip },
  async () => {
    const witness = new Witness()
    await using site = await community(witness, { rabbitmq: at(vhost.broker) })
    const { rabbitmq } = site.components
    const arrived = Promise.withResolvers<unknown>()
    await using others = rabbitmq.subscribe('post.*', 'another-program', ({ data }) => arrived.resolve(data))
    await others.live
    const [ada, bob] = await someLife(site)
    const data = (await arrived.promise) as { readonly authorId: string }
    assert.equal(data.authorId, ada)
    await settled(site)
    // What comes back by the broker is known, and is not in the log a second time.
    const registered = (await witness.all(site)).filter(({ topic }) => topic === 'user.registered')
    assert.deepEqual(
      registered.map(({ data: user }) => (user as { readonly userId: string }).userId).toSorted(),
      [ada, bob].toSorted(),
    )
  },
)

test('in MongoDB: each event is one document', { skip: await missingServer() }, async () => {
  const database = ownName()
  const client = await MongoClient.connect(MONGO)
  try {
    const witness = new Witness()
    await using site = await community(witness, { archive: { url: MONGO, database } })
    await someLife(site)
    const { events } = site.components
    const { id } = await events.replay('activity-archive', { from: 'beginning', rate: 10_000 })
    while ((await events.replays('activity-archive')).find((each) => each.id === id)?.state !== 'done');
    const happened = await witness.all(site)
    const activity = client.db(database).collection('activity')
    let archived: Document[] = []
    // And the one who came last, by whom the witness knows that it has seen all.
    while (archived.length < happened.length + 1) archived = await activity.find().toArray()
    assert.equal(archived.length, happened.length + 1)
    const vote = archived.find(({ topic }) => topic === 'vote.created')
    assert.deepEqual([vote?.['data'].value, vote?.['at'] instanceof Date], [1, true])
  } finally {
    await client.db(database).dropDatabase()
    await client.close()
  }
})

test('on Redis: what was cached there is forgotten when it has changed', { skip: redis.skip }, async () => {
  const keyPrefix = `sluice-test:${randomUUID()}:`
  await using site = await community(undefined, { cache: { addr: redis.url, keyPrefix } })
  const { cache } = site.components
  assert.equal(cache.status()['backend'], 'server')
  const [, bob] = await someLife(site)
  await settled(site)
  const feed = async () =>
    (await must<Page>(site, 'GET', '/feed', bob)).items.map(({ body, ups }) => [body, ups])
  await eventually(feed, [['Hello, world', 1]])
  const keys: string[] = []
  for await (const key of cache.scan()) keys.push(key)
  assert.ok(keys.includes(`feed:${bob}`), keys.join(' '))
  await cache.delBatch(keys).waitAll()
})

test('with room for one handler at a time, all of it is done all the same', async () => {
  await using site = await community(undefined, { app: { workers: 1 } })
  await Promise.all([someLife(site), register(site, 'joe', 'kim', 'lea')])
  await settled(site)
  assert.equal(site.app.pool.running + site.app.pool.free, 1)
})

async function someLife(site: Community): Promise<readonly [string, string]> {
  const [ada, bob] = (await register(site, 'ada', 'bob')) as [string, string]
  await must(site, 'PUT', `/users/${ada}/follow`, bob)
  const post = await publish(site, ada, 'Hello, world')
  await comment(site, bob, post, 'Hello, @ada')
  await must(site, 'PUT', `/posts/${post}/vote`, bob, { value: 1 })
  return [ada, bob]
}
