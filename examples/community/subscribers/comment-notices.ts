/**
 * Who is told of a comment: the author of the comment that it answers, the author of the post, whom it mentions. One
 * person is told once, for the first of these reasons, and nobody of their own comment.
 */
import { service, type Background, type WorkerPool } from 'sluice'
import type { Events } from 'sluice/events'
import type { Postgres, Transaction } from 'sluice/postgres'
import type { Delays } from '../delays.ts'
import { CommentCreated, CommentDeleted } from '../events.ts'
import { tellLive } from '../live.ts'
import { mentionsIn } from '../mentions.ts'
import { ids, of, read } from './read.ts'

interface Needs {
  readonly background: Background
  readonly db: Postgres
  readonly events: Events
  readonly pool: WorkerPool
}

export const commentNotices = (delays: Delays) =>
  service('comment-notices', ({ background, db, events, pool }: Needs) => {
    read(
      { events, pool, delays },
      [CommentCreated, CommentDeleted],
      'comment-notices',
      async (happened, tx) => {
        const created = ids(of(CommentCreated, happened).map(({ commentId }) => commentId))
        const deleted = ids(of(CommentDeleted, happened).map(({ commentId }) => commentId))
        // What was told of votes on it goes, too.
        if (deleted.length > 0)
          await tx.execute('delete from notifications where comment_id = any($1)', [deleted])
        if (created.length > 0) tellLive(tx, { db, background }, ids(await tellOf(tx, created)))
      },
    )
  })

/** Tells of these comments, where they and their posts are there: neither can be deleted before this is committed. */
async function tellOf(tx: Transaction, commentIds: readonly string[]): Promise<string[]> {
  const alive = await tx.query<{ id: string; body: string }>(
    `select c.id, c.body from comments c join posts p on p.id = c.post_id
     where c.id = any($1) and c.deleted_at is null and p.deleted_at is null order by c.id for share`,
    [commentIds],
  )
  const mentions = alive.flatMap(({ id, body }) => mentionsIn(body).map((name) => ({ id, name })))
  const added = await tx.query<{ id: string }>(
    `with reasons as (
       select c.id, parent.author_id as user_id, 1 as rank, 'reply' as kind
       from comments c join comments parent on parent.id = c.parent_id where c.id = any($1)
       union all
       select c.id, p.author_id, 2, 'comment' from comments c join posts p on p.id = c.post_id where c.id = any($1)
       union all
       select c.id, u.id, 3, 'mention'
       from unnest($2::bigint[], $3::text[]) as m(id, name) join comments c using (id) join users u using (name)
       where u.created_at <= c.created_at),
     wanted as (
       select distinct on (r.id, r.user_id) r.user_id, r.kind, c.author_id, c.post_id, c.id
       from reasons r join comments c on c.id = r.id where r.user_id <> c.author_id
       order by r.id, r.user_id, r.rank)
     insert into notifications (user_id, kind, actor_id, post_id, comment_id) select * from wanted
     on conflict do nothing returning user_id as id`,
    [alive.map(({ id }) => id), mentions.map(({ id }) => id), mentions.map(({ name }) => name)],
  )
  return added.map(({ id }) => id)
}
