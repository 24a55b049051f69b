/** The fifteen events: each is published once, in the transaction of the change that it tells of. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { leakCheck } from 'sluice/testing'
import { comment, community, must, publish, register, send, Witness } from './support.ts'

leakCheck()

test('each change publishes what it should, once', async () => {
  const witness = new Witness()
  await using site = await community(witness)
  const [ada, bob] = (await register(site, 'ada', 'bob')) as [string, string]
  await must(site, 'PUT', `/users/${ada}/follow`, bob)
  await must(site, 'DELETE', `/users/${ada}/follow`, bob)
  const { id: circleId } = await must<{ id: string }>(site, 'POST', '/circles', ada, { name: 'bakers' })
  await must(site, 'DELETE', `/circles/${circleId}/membership`, ada)
  const postId = await publish(site, ada, 'bread')
  await must(site, 'PATCH', `/posts/${postId}`, ada, { body: 'rye bread' })
  await must(site, 'PATCH', `/posts/${postId}`, ada, { body: 'rye bread' })
  const commentId = await comment(site, bob, postId, 'how?')
  await must(site, 'PUT', `/posts/${postId}/vote`, bob, { value: 1 })
  await must(site, 'PUT', `/posts/${postId}/vote`, bob, { value: -1 })
  await must(site, 'PUT', `/comments/${commentId}/vote`, ada, { value: 1 })
  await must(site, 'PUT', `/comments/${commentId}/vote`, ada, { value: 0 })
  await must(site, 'DELETE', `/comments/${commentId}`, bob)
  await must(site, 'DELETE', `/posts/${postId}`, ada)

  const follow = { followerId: bob, followeeId: ada }
  const membership = { circleId, userId: ada }
  const post = { postId, authorId: ada }
  const remark = { commentId, postId, parentId: null, authorId: bob }
  const onPost = { target: 'post', targetId: postId, postId, voterId: bob }
  const onComment = { target: 'comment', targetId: commentId, postId, voterId: ada }
  const wanted = [
    ['user.registered', { userId: ada, name: 'ada' }],
    ['user.registered', { userId: bob, name: 'bob' }],
    ['user.followed', follow],
    ['user.unfollowed', follow],
    ['circle.joined', membership],
    ['circle.left', membership],
    ['post.published', post],
    ['post.updated', post],
    ['comment.created', remark],
    ['vote.created', { ...onPost, value: 1 }],
    ['post.voted', { ...post, voterId: bob, from: 0, to: 1 }],
    ['vote.updated', { ...onPost, value: -1, before: 1 }],
    ['post.voted', { ...post, voterId: bob, from: 1, to: -1 }],
    ['vote.created', { ...onComment, value: 1 }],
    ['comment.voted', { ...remark, voterId: ada, from: 0, to: 1 }],
    ['vote.deleted', { ...onComment, value: 1 }],
    ['comment.voted', { ...remark, voterId: ada, from: 1, to: 0 }],
    ['comment.deleted', remark],
    ['post.deleted', post],
  ]
  const seen = (await witness.all(site)).map(({ topic, data }) => [topic, data])
  assert.deepEqual(inOrder(seen), inOrder(wanted))
  assert.equal(new Set(seen.map(([topic]) => topic)).size, 15)
})

test('a change that fails publishes nothing', async () => {
  const witness = new Witness()
  await using site = await community(witness)
  const [ada] = (await register(site, 'ada')) as [string]
  await site.components.db.script(`alter table posts add constraint refuse check (body <> 'never')`)
  const reply = await send(site, 'POST', '/posts', ada, { body: 'never' })
  assert.ok(reply.statusCode >= 400)
  assert.equal((await send(site, 'POST', '/users', undefined, { name: 'ada' })).statusCode, 409)
  const seen = await witness.all(site)
  assert.deepEqual(
    seen.map(({ topic }) => topic),
    ['user.registered'],
  )
})

function inOrder(list: readonly unknown[]): string[] {
  return list.map((each) => JSON.stringify(each, (_, value: unknown) => sorted(value))).sort()
}

function sorted(value: unknown): unknown {
  const isRecord = typeof value === 'object' && value !== null && !Array.isArray(value)
  return isRecord ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))) : value
}
