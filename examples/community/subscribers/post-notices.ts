/**
 * Who is told of a post: whom it mentions, and the members of its circle. They are found in the post as it is now, which
 * cannot change until they are written; whoever is no longer among them is told no more.
 */
import { service, type Background, type WorkerPool } from 'sluice'
import type { Events } from 'sluice/events'
import type { Postgres, Transaction } from 'sluice/postgres'
import type { Delays } from '../delays.ts'
import { PostDeleted, PostPublished, PostUpdated } from '../events.ts'
import { tellLive } from '../live.ts'
import { mentionsIn } from '../mentions.ts'
import { ids, of, read } from './read.ts'

interface Needs {
  readonly background: Background
  readonly db: Postgres
  readonly events: Events
  readonly pool: WorkerPool
}

export const postNotices = (delays: Delays) =>
  service('post-notices', ({ background, db, events, pool }: Needs) => {
    const types = [PostPublished, PostUpdated, PostDeleted]
    read({ events, pool, delays }, types, 'post-notices', async (happened, tx) => {
      const posts = ids(types.flatMap((type) => of(type, happened)).map(({ postId }) => postId))
      tellLive(tx, { db, background }, ids(await noticesOf(tx, posts)))
    })
  })

/** Makes the notices of these posts what they should be. Whose were added. */
async function noticesOf(tx: Transaction, postIds: readonly string[]): Promise<string[]> {
  const alive = await tx.query<{ id: string; body: string }>(
    'select id, body from posts where id = any($1) and deleted_at is null order by id for share',
    [postIds],
  )
  // Also what was told of its comments and votes.
  await tx.execute(
    'delete from notifications where post_id = any($1) and not exists (select from posts where id = post_id and deleted_at is null)',
    [postIds],
  )
  const mentions = alive.flatMap(({ id, body }) => mentionsIn(body).map((name) => ({ id, name })))
  const added = await tx.query<{ id: string }>(
    `with mentioned as (
       select p.id as post_id, p.author_id, u.id as user_id
       from unnest($2::bigint[], $3::text[]) as m(id, name) join posts p using (id) join users u using (name)
       where u.id <> p.author_id and u.created_at <= coalesce(p.updated_at, p.created_at)),
     wanted as (
       select user_id, 'mention' as kind, author_id, post_id from mentioned
       union all
       select s.user_id, 'circle', p.author_id, p.id
       from posts p join stays s on s.circle_id = p.circle_id and s.since < p.number and (s.until is null or s.until >= p.number)
       where p.id = any($1) and s.user_id <> p.author_id
         and not exists (select from mentioned m where m.user_id = s.user_id and m.post_id = p.id)),
     gone as (
       delete from notifications n where n.post_id = any($1) and n.kind in ('mention', 'circle') and n.comment_id is null
         and not exists (select from wanted w where w.user_id = n.user_id and w.kind = n.kind and w.post_id = n.post_id))
     insert into notifications (user_id, kind, actor_id, post_id)
     select user_id, kind, author_id, post_id from wanted order by post_id, user_id
     on conflict do nothing returning user_id as id`,
    [alive.map(({ id }) => id), mentions.map(({ id }) => id), mentions.map(({ name }) => name)],
  )
  return added.map(({ id }) => id)
}
