/** A person has one vote, whatever is sent how often and at the same time; counts and hotness follow. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { leakCheck, seededRandom } from 'sluice/testing'
import { hotness } from '../hotness.ts'
import type { Page } from '../routes/feed.ts'
import type { ShownPost } from '../post-card.ts'
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

leakCheck()

test('the same vote again, also at the same time, changes nothing and tells of nothing', async () => {
  const witness = new Witness()
  await using site = await community(witness)
  const [ada, bob] = (await register(site, 'ada', 'bob')) as [string, string]
  const post = await publish(site, ada, 'Vote for me')
  const vote = (value: number) =>
    must<{ changed: boolean }>(site, 'PUT', `/posts/${post}/vote`, bob, { value })
  const answers = await Promise.all(Array.from({ length: 20 }, () => vote(1)))
  assert.equal(answers.filter(({ changed }) => changed).length, 1)
  assert.deepEqual(await vote(1), { changed: false })
  assert.deepEqual(await published(site, witness), { 'post.voted': 1, 'vote.created': 1 })
  await settled(site)
  await eventually(() => countsOf(site, post), [1, 0])

  assert.deepEqual(await vote(-1), { changed: true })
  assert.deepEqual(await vote(0), { changed: true })
  assert.deepEqual(await vote(0), { changed: false })
  assert.deepEqual(await published(site, witness), {
    'post.voted': 3,
    'vote.created': 1,
    'vote.updated': 1,
    'vote.deleted': 1,
  })
  await settled(site)
  await eventually(() => countsOf(site, post), [0, 0])
})

test('votes of many at the same time, on posts and comments, are counted as they stand in the end', async () => {
  await using site = await community()
  const people = await register(site, ...Array.from({ length: 8 }, (_, i) => `voter_${i}`))
  const author = people[0] ?? ''
  const post = await publish(site, author, 'Everybody votes')
  const remark = await comment(site, author, post, 'On this, too')
  const random = seededRandom(7)
  await Promise.all(
    Array.from({ length: 150 }, () => {
      const who = people[Math.floor(random() * people.length)] ?? ''
      const path = random() < 0.6 ? `/posts/${post}` : `/comments/${remark}`
      return must(site, 'PUT', `${path}/vote`, who, { value: Math.floor(random() * 3) - 1 })
    }),
  )
  await settled(site)
})

test('what has more votes is hotter, and what was deleted is not shown', async () => {
  await using site = await community()
  const [ada, bob, eve] = (await register(site, 'ada', 'bob', 'eve')) as [string, string, string]
  const bodies = ['liked by two', 'liked by one', 'liked by nobody', 'deleted']
  const posts: string[] = []
  for (const body of bodies.toReversed()) posts.unshift(await publish(site, ada, body))
  for (const [post, who] of [
    [0, bob],
    [0, eve],
    [1, eve],
    [3, bob],
  ] as const) {
    await must(site, 'PUT', `/posts/${posts[post]}/vote`, who, { value: 1 })
  }
  await must(site, 'PUT', `/posts/${posts[2]}/vote`, bob, { value: -1 })
  await must(site, 'DELETE', `/posts/${posts[3]}`, ada)
  await settled(site)
  const hot = async () => (await must<Page>(site, 'GET', '/hot')).items.map(({ body }) => body)
  await eventually(hot, bodies.slice(0, 3))
})

test('hotness is the same in the program and in the database', async () => {
  await using site = await community()
  const [ada, bob, eve] = (await register(site, 'ada', 'bob', 'eve')) as [string, string, string]
  const post = await publish(site, ada, 'How hot?')
  await must(site, 'PUT', `/posts/${post}/vote`, bob, { value: 1 })
  await must(site, 'PUT', `/posts/${post}/vote`, eve, { value: 1 })
  await settled(site)
  const row = await site.components.db.queryOne<{ hotness: number; at: Date }>(
    'select hotness, created_at as at from post_tallies join posts on id = post_id where id = $1',
    [post],
  )
  assert.ok(row !== undefined)
  // Milliseconds here, microseconds there.
  assert.ok(Math.abs(row.hotness - hotness(2, new Date(row.at))) < 1e-6)
})

test('ten votes count as much as twelve and a half hours; votes against it count down', () => {
  const now = new Date('2026-01-01T12:00:00Z')
  const later = new Date(now.getTime() + 45_000_000)
  assert.ok(Math.abs(hotness(10, now) - hotness(1, later)) < 1e-9)
  assert.ok(hotness(-10, now) < hotness(0, now))
  assert.equal(hotness(0, now), hotness(1, now))
  assert.equal(hotness(0, new Date(1_134_028_003_000)), 0)
})

async function countsOf(site: Community, post: string): Promise<number[]> {
  const { ups, downs } = await must<ShownPost>(site, 'GET', `/posts/${post}`)
  return [ups, downs]
}

/** How often it was told of votes, by topic. */
async function published(site: Community, witness: Witness): Promise<Readonly<Record<string, number>>> {
  const counts: Record<string, number> = {}
  for (const { topic } of await witness.all(site)) {
    if (topic.includes('vote')) counts[topic] = (counts[topic] ?? 0) + 1
  }
  return counts
}
