/** The search index and the feeds are made anew from the log, while people go on. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ReplayInfo } from 'sluice/events'
import { leakCheck } from 'sluice/testing'
import { comment, community, must, publish, register, send, settled, type Community } from './support.ts'

leakCheck()

for (const [what, table] of [
  ['search-index', 'search'],
  ['feeds', 'feed'],
] as const) {
  test(`${what}: emptied, and made anew from the log while posts go on`, async () => {
    await using site = await community()
    const [ada, bob, eve] = (await register(site, 'ada', 'bob', 'eve')) as [string, string, string]
    await must(site, 'PUT', `/users/${ada}/follow`, bob)
    await must(site, 'PUT', `/users/${ada}/follow`, eve)
    const posts: string[] = []
    for (let i = 1; i <= 10; i++) posts.push(await publish(site, ada, `old post ${i}`))
    await must(site, 'PATCH', `/posts/${posts[0]}`, ada, { body: 'changed since' })
    await must(site, 'DELETE', `/posts/${posts[1]}`, ada)
    await must(site, 'DELETE', `/users/${ada}/follow`, eve)
    await comment(site, bob, posts[2] ?? '', 'counted once')
    await settled(site)

    const { id } = await must<{ id: string }>(site, 'POST', `/rebuild/${what}`, undefined, {
      empty: true,
      rate: 200,
    })
    for (let i = 1; i <= 10; i++) {
      const post = await publish(site, ada, `new post ${i}`)
      if (i % 3 === 0) await must(site, 'DELETE', `/posts/${post}`, ada)
    }
    await must(site, 'PUT', `/users/${ada}/follow`, eve)
    while ((await replay(site, what, id))?.state !== 'done');
    // Counts, too: what is counted was not counted again.
    await settled(site)
    assert.ok(Number((await replay(site, what, id))?.delivered) >= 11)
    const row = await site.components.db.queryOne<{ rows: number }>(
      `select count(*)::int as rows from ${table}`,
    )
    assert.equal(row?.rows, what === 'feeds' ? 16 * 3 : 16)
  })
}

test('what counts cannot be made anew, and strangers cannot ask for anything', async () => {
  await using site = await community()
  assert.equal((await send(site, 'POST', '/rebuild/post-tallies', undefined, {})).statusCode, 400)
  const reply = await site.app.http.inject({
    method: 'POST',
    url: '/rebuild/feeds',
    payload: {},
    remoteAddress: '192.0.2.7',
  })
  assert.equal(reply.statusCode, 403)
})

test('a replay of counts counts nothing again', async () => {
  await using site = await community()
  const [ada, bob] = (await register(site, 'ada', 'bob')) as [string, string]
  const post = await publish(site, ada, 'once')
  await must(site, 'PUT', `/posts/${post}/vote`, bob, { value: 1 })
  await settled(site)
  const { events } = site.components
  for (const name of ['post-tallies', 'people-tallies', 'circle-tallies', 'vote-notices', 'post-notices']) {
    const { id } = await events.replay(name, { from: 'beginning', rate: 10_000 })
    while ((await events.replays(name)).find((each) => each.id === id)?.state !== 'done');
  }
  await settled(site)
})

async function replay(site: Community, what: string, id: string): Promise<ReplayInfo | undefined> {
  const replays = await must<ReplayInfo[]>(site, 'GET', `/rebuild/${what}`)
  return replays.find((each) => each.id === id)
}
