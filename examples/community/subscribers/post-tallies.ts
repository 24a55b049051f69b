/**
 * Counts and hotness of posts, counts of comments. They are counted up and down by events, each once: their transaction is
 * that of the place in the log. A replay would count again what is counted, and is passed over.
 */
import { service, type Background, type WorkerPool } from 'sluice'
import type { Events } from 'sluice/events'
import type { Postgres, Transaction } from 'sluice/postgres'
import type { Redis } from 'sluice/redis'
import { forgetAfter, postKey } from '../cached.ts'
import type { Delays } from '../delays.ts'
import { CommentCreated, CommentDeleted, CommentVoted, PostPublished, PostVoted } from '../events.ts'
import { of, read } from './read.ts'
import { Sums } from './sums.ts'

interface Needs {
  readonly background: Background
  readonly cache: Redis
  readonly db: Postgres
  readonly events: Events
  readonly pool: WorkerPool
}

export const postTallies = (delays: Delays) =>
  service('post-tallies', ({ background, cache, events, pool }: Needs) => {
    const types = [PostPublished, PostVoted, CommentCreated, CommentDeleted, CommentVoted]
    read({ events, pool, delays }, types, 'post-tallies', async (all, tx) => {
      const happened = all.filter(({ replay }) => replay === undefined)
      const posts = new Sums(['comments', 'ups', 'downs'])
      const comments = new Sums(['replies', 'ups', 'downs'])
      for (const { postId } of of(PostPublished, happened)) posts.add(postId, {})
      for (const { postId, from, to } of of(PostVoted, happened)) posts.add(postId, byVote(from, to))
      for (const { commentId, from, to } of of(CommentVoted, happened))
        comments.add(commentId, byVote(from, to))
      for (const [type, by] of [
        [CommentCreated, 1],
        [CommentDeleted, -1],
      ] as const) {
        for (const { commentId, parentId, postId } of of(type, happened)) {
          posts.add(postId, { comments: by })
          comments.add(commentId, {})
          if (parentId !== null) comments.add(parentId, { replies: by })
        }
      }
      await Promise.all([addToPosts(tx, posts), addToComments(tx, comments)])
      forgetAfter(tx, { cache, background }, posts.ids.map(postKey))
    })
  })

function byVote(from: number, to: number): { readonly ups: number; readonly downs: number } {
  return { ups: Number(to === 1) - Number(from === 1), downs: Number(to === -1) - Number(from === -1) }
}

async function addToPosts(tx: Transaction, posts: Sums<'comments' | 'ups' | 'downs'>): Promise<void> {
  if (posts.ids.length === 0) return
  await tx.execute(
    `insert into post_tallies as t (post_id, comments, ups, downs, hotness)
     select id, s.comments, s.ups, s.downs, hotness(s.ups - s.downs, created_at)
     from unnest($1::bigint[], $2::int[], $3::int[], $4::int[]) as s(id, comments, ups, downs) join posts using (id)
     order by id
     on conflict (post_id) do update set
       comments = t.comments + excluded.comments, ups = t.ups + excluded.ups, downs = t.downs + excluded.downs,
       hotness = hotness(t.ups + excluded.ups - t.downs - excluded.downs,
         (select created_at from posts where id = t.post_id))`,
    posts.columns,
  )
}

async function addToComments(tx: Transaction, comments: Sums<'replies' | 'ups' | 'downs'>): Promise<void> {
  if (comments.ids.length === 0) return
  await tx.execute(
    `insert into comment_tallies as t (comment_id, replies, ups, downs)
     select * from unnest($1::bigint[], $2::int[], $3::int[], $4::int[]) as s(id, replies, ups, downs) order by id
     on conflict (comment_id) do update set
       replies = t.replies + excluded.replies, ups = t.ups + excluded.ups, downs = t.downs + excluded.downs`,
    comments.columns,
  )
}
