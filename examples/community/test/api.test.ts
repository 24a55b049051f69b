/** What people can do, and what they cannot. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { leakCheck } from 'sluice/testing'
import type { Page } from '../routes/feed.ts'
import type { User } from '../routes/users.ts'
import type { ShownPost } from '../post-card.ts'
import {
  comment,
  community,
  eventually,
  must,
  publish,
  register,
  send,
  settled,
  type Community,
} from './support.ts'

leakCheck()

test('a post reaches the feed of who follows, can be found, changed and deleted', async () => {
  await using site = await community()
  const [ada, bob] = (await register(site, 'ada', 'bob')) as [string, string]
  await must(site, 'PUT', `/users/${ada}/follow`, bob)
  const post = await publish(site, ada, 'A lantern for the harbour')
  await settled(site)
  await eventually(() => feedOf(site, bob), ['A lantern for the harbour'])
  assert.deepEqual(await feedOf(site, ada), ['A lantern for the harbour'])
  assert.deepEqual(await found(site, 'lanterns'), [post])

  await must(site, 'PATCH', `/posts/${post}`, ada, { body: 'A violin for the market' })
  await settled(site)
  assert.deepEqual(await found(site, 'lanterns'), [])
  assert.deepEqual(await found(site, 'violins'), [post])
  const shown = async () => {
    const { body, edited, author } = await must<ShownPost>(site, 'GET', `/posts/${post}`)
    return [body, edited, author]
  }
  await eventually(shown, ['A violin for the market', true, 'ada'])

  await must(site, 'DELETE', `/posts/${post}`, ada)
  await settled(site)
  await eventually(() => feedOf(site, bob), [])
  assert.deepEqual(await found(site, 'violins'), [])
  await eventually(async () => (await send(site, 'GET', `/posts/${post}`)).statusCode, 404)
})

test('who follows sees what was posted before; who stops following, nothing more', async () => {
  await using site = await community()
  const [ada, bob] = (await register(site, 'ada', 'bob')) as [string, string]
  for (let i = 1; i <= 3; i++) await publish(site, ada, `post ${i}`)
  await must(site, 'PUT', `/users/${ada}/follow`, bob)
  await must(site, 'PUT', `/users/${ada}/follow`, bob)
  await settled(site)
  assert.deepEqual(await feedOf(site, bob), ['post 3', 'post 2', 'post 1'])
  const user = await must<User>(site, 'GET', `/users/${ada}`)
  assert.deepEqual([user.followers, user.following, user.posts], [1, 0, 3])

  await must(site, 'DELETE', `/users/${ada}/follow`, bob)
  await must(site, 'DELETE', `/users/${ada}/follow`, bob)
  await settled(site)
  await eventually(() => feedOf(site, bob), [])
  await eventually(async () => (await must<User>(site, 'GET', `/users/${ada}`)).followers, 0)
})

test('pages of a feed follow each other without a gap or a double', async () => {
  await using site = await community()
  const [ada] = (await register(site, 'ada')) as [string]
  for (let i = 1; i <= 7; i++) await publish(site, ada, `post ${i}`)
  await settled(site)
  const seen: string[] = []
  for (let before = ''; ;) {
    const page = await must<Page>(site, 'GET', `/feed?limit=3${before}`, ada)
    seen.push(...page.items.map(({ body }) => body))
    if (page.next === null) break
    before = `&before=${page.next}`
  }
  assert.deepEqual(
    seen,
    [7, 6, 5, 4, 3, 2, 1].map((i) => `post ${i}`),
  )
})

test('comments make threads; one that is deleted leaves its place', async () => {
  await using site = await community()
  const [ada, bob] = (await register(site, 'ada', 'bob')) as [string, string]
  const post = await publish(site, ada, 'What do you think?')
  const first = await comment(site, bob, post, 'A lot')
  const answer = await comment(site, ada, post, 'Of what?', first)
  await must(site, 'DELETE', `/comments/${first}`, bob)
  await settled(site)
  const thread = await must<{ id: string; parentId: string | null; body: string | null; replies: number }[]>(
    site,
    'GET',
    `/posts/${post}/comments`,
  )
  assert.deepEqual(
    thread.map(({ id, parentId, body, replies }) => [id, parentId, body, replies]),
    [
      [first, null, null, 1],
      [answer, first, 'Of what?', 0],
    ],
  )
  assert.equal((await must<ShownPost>(site, 'GET', `/posts/${post}`)).comments, 1)
})

test('only members post in a circle', async () => {
  await using site = await community()
  const [ada, bob] = (await register(site, 'ada', 'bob')) as [string, string]
  const { id: circleId } = await must<{ id: string }>(site, 'POST', '/circles', ada, { name: 'sailors' })
  assert.equal((await send(site, 'POST', '/posts', bob, { body: 'ahoy', circleId })).statusCode, 403)
  await must(site, 'PUT', `/circles/${circleId}/membership`, bob)
  await must(site, 'PUT', `/circles/${circleId}/membership`, bob)
  const post = await publish(site, bob, 'ahoy', { circleId })
  await settled(site)
  assert.deepEqual(await must(site, 'GET', '/circles'), [{ id: circleId, name: 'sailors', members: 2 }])
  const posts = await must<ShownPost[]>(site, 'GET', `/circles/${circleId}/posts`)
  assert.deepEqual(
    posts.map(({ id, circle }) => [id, circle]),
    [[post, 'sailors']],
  )
  await must(site, 'DELETE', `/circles/${circleId}/membership`, bob)
  assert.equal((await send(site, 'POST', '/posts', bob, { body: 'gone', circleId })).statusCode, 403)
})

test('what is wrong is refused with a problem that says why', async () => {
  await using site = await community()
  const [ada, bob] = (await register(site, 'ada', 'bob')) as [string, string]
  const post = await publish(site, ada, 'mine')
  const remark = await comment(site, ada, post, 'mine, too')
  const other = await publish(site, ada, 'another')
  const refusals: readonly [
    Parameters<typeof send>[1],
    string,
    string | undefined,
    object | undefined,
    number,
  ][] = [
    ['POST', '/users', undefined, { name: 'No Name' }, 400],
    ['POST', '/users', undefined, { name: 'ada' }, 409],
    ['GET', '/users/999', undefined, undefined, 404],
    ['GET', '/users/x', undefined, undefined, 400],
    ['POST', '/posts', undefined, { body: 'who am I' }, 401],
    ['POST', '/posts', 'ada', { body: 'no id' }, 401],
    ['POST', '/posts', '999', { body: 'nobody' }, 404],
    ['POST', '/posts', ada, { body: '   ' }, 400],
    ['POST', '/posts', ada, { body: 'x'.repeat(4_001) }, 400],
    ['POST', '/posts', ada, { body: 'x', circleId: '999' }, 404],
    ['PATCH', `/posts/${post}`, bob, { body: 'not mine' }, 403],
    ['DELETE', `/posts/${post}`, bob, undefined, 403],
    ['DELETE', '/posts/999', bob, undefined, 404],
    ['DELETE', `/comments/${remark}`, bob, undefined, 403],
    ['POST', '/posts/999/comments', bob, { body: 'x' }, 404],
    ['POST', `/posts/${other}/comments`, bob, { body: 'x', parentId: remark }, 404],
    ['PUT', '/posts/999/vote', bob, { value: 1 }, 404],
    ['PUT', `/posts/${post}/vote`, '999', { value: 1 }, 404],
    ['PUT', `/posts/${post}/vote`, bob, { value: 2 }, 400],
    ['PUT', `/users/${bob}/follow`, bob, undefined, 422],
    ['PUT', '/users/999/follow', bob, undefined, 404],
    ['PUT', '/circles/999/membership', bob, undefined, 404],
    ['GET', '/feed', undefined, undefined, 401],
    ['GET', '/feed?limit=1000', ada, undefined, 400],
    ['GET', '/search?q=', undefined, undefined, 400],
  ]
  for (const [method, url, who, payload, status] of refusals) {
    const reply = await send(site, method, url, who, payload)
    assert.equal(reply.statusCode, status, `${method} ${url}: ${reply.body}`)
    assert.match(String(reply.headers['content-type']), /^application\/problem\+json/)
  }
  await settled(site)
})

async function feedOf(site: Community, who: string): Promise<string[]> {
  return (await must<Page>(site, 'GET', '/feed', who)).items.map(({ body }) => body)
}

async function found(site: Community, words: string): Promise<string[]> {
  return (await must<Page>(site, 'GET', `/search?q=${words}`)).items.map(({ id }) => id)
}
