/** Who is told of what: once, for the best reason, and only for as long as it is true. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { leakCheck } from 'sluice/testing'
import { mentionsIn } from '../mentions.ts'
import type { Notice } from '../routes/notifications.ts'
import { comment, community, must, publish, register, settled, type Community } from './support.ts'

leakCheck()

test('of a comment: who is answered, the author of the post, who is mentioned; each once', async () => {
  await using site = await community()
  const [ada, bob, eve] = (await register(site, 'ada', 'bob', 'eve')) as [string, string, string]
  const post = await publish(site, ada, 'Tea or coffee?')
  const first = await comment(site, bob, post, 'Tea, as @ada and @eve know')
  const second = await comment(site, ada, post, 'Really, @bob?', first)
  await comment(site, ada, post, 'I, @ada, think so')
  await settled(site)
  assert.deepEqual(await told(site, ada), [['comment', 'bob', first]])
  assert.deepEqual(await told(site, bob), [['reply', 'ada', second]])
  assert.deepEqual(await told(site, eve), [['mention', 'bob', first]])

  await must(site, 'DELETE', `/comments/${first}`, bob)
  await settled(site)
  assert.deepEqual(await told(site, ada), [])
  assert.deepEqual(await told(site, eve), [])
})

test('of a post: whom it mentions, also when that comes or goes later; nobody when it is gone', async () => {
  await using site = await community()
  const [ada, bob, eve] = (await register(site, 'ada', 'bob', 'eve')) as [string, string, string]
  const post = await publish(site, ada, 'Hello @bob and @nobody and me, @ada')
  await settled(site)
  assert.deepEqual(await told(site, bob), [['mention', 'ada', null]])
  await must(site, 'PATCH', `/posts/${post}`, ada, { body: 'Hello @eve' })
  await settled(site)
  assert.deepEqual(await told(site, bob), [])
  assert.deepEqual(await told(site, eve), [['mention', 'ada', null]])
  await must(site, 'DELETE', `/posts/${post}`, ada)
  await settled(site)
  assert.deepEqual(await told(site, eve), [])
})

test('of a post in a circle: who was a member when it was posted', async () => {
  await using site = await community()
  const people = ['ada', 'bob', 'eve', 'joe']
  const [ada, bob, eve, joe] = (await register(site, ...people)) as [string, string, string, string]
  const { id: circleId } = await must<{ id: string }>(site, 'POST', '/circles', ada, { name: 'readers' })
  const membership = `/circles/${circleId}/membership`
  for (const who of [bob, eve]) await must(site, 'PUT', membership, who)
  await publish(site, ada, 'A book, @eve', { circleId })
  await must(site, 'DELETE', membership, bob)
  await must(site, 'PUT', membership, joe)
  await publish(site, ada, 'Another', { circleId })
  await settled(site)
  assert.equal((await told(site, bob)).length, 1)
  assert.deepEqual((await told(site, eve)).map(([kind]) => kind).toSorted(byText), ['circle', 'mention'])
  assert.equal((await told(site, joe)).length, 1)
  assert.equal((await told(site, ada)).length, 0)
})

test('of votes and follows: the author and who is followed, for as long as these last', async () => {
  await using site = await community()
  const [ada, bob] = (await register(site, 'ada', 'bob')) as [string, string]
  const post = await publish(site, ada, 'Vote!')
  const remark = await comment(site, ada, post, 'please')
  await must(site, 'PUT', `/posts/${post}/vote`, ada, { value: 1 })
  await must(site, 'PUT', `/posts/${post}/vote`, bob, { value: 1 })
  await must(site, 'PUT', `/posts/${post}/vote`, bob, { value: -1 })
  await must(site, 'PUT', `/comments/${remark}/vote`, bob, { value: 1 })
  await must(site, 'PUT', `/users/${ada}/follow`, bob)
  await settled(site)
  assert.deepEqual((await told(site, ada)).toSorted(byText), [
    ['follow', 'bob', null],
    ['vote', 'bob', null],
    ['vote', 'bob', remark],
  ])
  await must(site, 'PUT', `/posts/${post}/vote`, bob, { value: 0 })
  await must(site, 'DELETE', `/users/${ada}/follow`, bob)
  await settled(site)
  assert.deepEqual(await told(site, ada), [['vote', 'bob', remark]])
})

test('what was read stays read', async () => {
  await using site = await community()
  const [ada, bob] = (await register(site, 'ada', 'bob')) as [string, string]
  await publish(site, ada, 'Hello @bob')
  await settled(site)
  const notices = await must<Notice[]>(site, 'GET', '/notifications', bob)
  await must(site, 'POST', '/notifications/read', bob, { upTo: notices[0]?.id ?? '' })
  const after = await must<Notice[]>(site, 'GET', '/notifications', bob)
  assert.deepEqual([after.length, after.every(({ read }) => read)], [2, true])
})

test('names are found in a text as people write them', () => {
  assert.deepEqual(mentionsIn('@ada, ask @bob_2! (@eve) @ada again'), ['ada', 'bob_2', 'eve'])
  assert.deepEqual(mentionsIn('ada@example.com, a@b, @@ada, @Ada, @a, @ada@example.com'), [])
  assert.equal(mentionsIn(Array.from({ length: 50 }, (_, i) => `@user_${i}`).join(' ')).length, 20)
})

function byText(a: unknown, b: unknown): number {
  return String(a) < String(b) ? -1 : 1
}

/** Kind, who did it, and the comment, if it is about one; without the welcome. */
async function told(site: Community, who: string): Promise<(string | null)[][]> {
  const notices = await must<Notice[]>(site, 'GET', '/notifications', who)
  return notices
    .filter(({ kind }) => kind !== 'welcome')
    .map(({ kind, actor, commentId }) => [kind, actor, commentId])
}
