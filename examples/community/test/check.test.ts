/** The check would notice: each of what it compares is spoilt in turn, and found. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { leakCheck } from 'sluice/testing'
import { check } from '../load/check.ts'
import { comment, community, must, publish, register, settled } from './support.ts'

leakCheck()

const SPOILT: readonly (readonly [name: string, statement: string])[] = [
  ['counts and hotness of posts', 'update post_tallies set ups = ups + 1'],
  ['counts and hotness of posts', 'update post_tallies set hotness = hotness + 0.00001'],
  ['counts of comments', 'update comment_tallies set replies = replies + 1'],
  [
    'counts of people',
    'update user_tallies set followers = followers + 1 where user_id = (select min(id) from users)',
  ],
  ['members of circles', 'update circle_tallies set members = members - 1'],
  ['feeds', 'delete from feed where user_id = author_id'],
  ['feeds', 'insert into feed select id, 1, 1 from users on conflict do nothing'],
  ['search index', `update search set document = to_tsvector('english', 'other words')`],
  ['notifications of posts', `delete from notifications where kind = 'circle'`],
  ['notifications of comments', `update notifications set kind = 'mention' where kind = 'comment'`],
  ['notifications of votes', `update notifications set actor_id = actor_id + 1 where kind = 'vote'`],
  ['notifications of people', `delete from notifications where kind = 'follow'`],
]

test('whatever is spoilt is found, and named', async () => {
  await using site = await community()
  const [ada, bob] = (await register(site, 'ada', 'bob', 'eve')) as [string, string]
  const { id: circleId } = await must<{ id: string }>(site, 'POST', '/circles', ada, { name: 'cooks' })
  await must(site, 'PUT', `/circles/${circleId}/membership`, bob)
  await must(site, 'PUT', `/users/${ada}/follow`, bob)
  const post = await publish(site, ada, 'a post', { circleId })
  await comment(site, bob, post, 'a comment')
  await must(site, 'PUT', `/posts/${post}/vote`, bob, { value: 1 })
  await settled(site)

  const { db } = site.components
  for (const [name, statement] of SPOILT) {
    const undone = new Error('undo')
    await assert.rejects(
      db.transaction(async (tx) => {
        assert.ok((await tx.execute(statement)) > 0, statement)
        const findings = await check(tx)
        const wrong = findings.filter((each) => each.missing + each.wrong > 0)
        assert.deepEqual(
          wrong.map((each) => each.name),
          [name],
          statement,
        )
        assert.ok((wrong[0]?.examples.length ?? 0) > 0)
        throw undone
      }),
      undone,
    )
  }
})
