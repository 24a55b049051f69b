/** An author with ten thousand followers, and what else goes on meanwhile. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { leakCheck } from 'sluice/testing'
import { SPREAD_AT_ONCE } from '../subscribers/spread.ts'
import { community, must, publish, register, settled, type Community } from './support.ts'

leakCheck()

const FOLLOWERS = 10_000

test('a post reaches ten thousand followers in batches, and leaves all their feeds when it is deleted', async () => {
  await using site = await community()
  const { db } = site.components
  const [star] = (await register(site, 'star')) as [string]
  // Made by hand: ten thousand registrations are not what this is about.
  await db.script(`
    insert into users (name) select 'fan_' || i from generate_series(1, ${FOLLOWERS}) i;
    insert into follows (follower_id, followee_id) select id, ${star} from users where name like 'fan_%';
  `)
  const post = await publish(site, star, 'Hello, everybody')
  await settled(site, /^feeds$/)
  assert.equal(await feedsWith(site, post), FOLLOWERS + 1)

  await must(site, 'DELETE', `/posts/${post}`, star)
  await settled(site, /^feeds$/)
  assert.equal(await feedsWith(site, post), 0)
})

test('who follows while a post is on its way to the others has it once, who leaves meanwhile has it not', async () => {
  await using site = await community()
  const { db } = site.components
  const [star, early, late] = (await register(site, 'star', 'early', 'late')) as [string, string, string]
  await db.script(`
    insert into users (name) select 'fan_' || i from generate_series(1, 3000) i;
    insert into follows (follower_id, followee_id) select id, ${star} from users where name like 'fan_%' or id = ${early};
  `)
  const posts = await Promise.all([1, 2, 3].map((i) => publish(site, star, `post ${i}`)))
  await Promise.all([
    must(site, 'PUT', `/users/${star}/follow`, late),
    must(site, 'DELETE', `/users/${star}/follow`, early),
    must(site, 'DELETE', `/posts/${posts[1]}`, star),
  ])
  await settled(site, /^feeds$/)
  const rows = await db.query<{ user: string; posts: number }>(
    'select user_id as user, count(*)::int as posts from feed where user_id = any($1) group by 1',
    [[early, late]],
  )
  assert.deepEqual(rows, [{ user: late, posts: 2 }])
})

test('a follower of somebody with more posts than one batch gets all of them', async () => {
  await using site = await community()
  const [writer, reader] = (await register(site, 'writer', 'reader')) as [string, string]
  const posts = 2 * SPREAD_AT_ONCE + 1
  await site.components.db.script(
    `insert into posts (author_id, body) select ${writer}, 'post ' || i from generate_series(1, ${posts}) i`,
  )
  await must(site, 'PUT', `/users/${writer}/follow`, reader)
  const read = async (): Promise<number> => {
    const row = await site.components.db.queryOne<{ posts: number }>(
      'select count(*)::int as posts from feed where user_id = $1',
      [reader],
    )
    return row?.posts ?? 0
  }
  while ((await read()) < posts);
  assert.equal(await read(), posts)
})

async function feedsWith({ components: { db } }: Community, post: string): Promise<number> {
  const row = await db.queryOne<{ feeds: number }>(
    'select count(*)::int as feeds from feed where post_id = $1',
    [post],
  )
  return row?.feeds ?? 0
}
