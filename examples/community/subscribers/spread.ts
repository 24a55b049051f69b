/**
 * Posts into feeds, 1,000 rows at a time. Where that was not all, a job goes on behind the last one; it commits with these
 * rows, and its own rows with it, so that each batch is there once and none is left out.
 */
import { job, type Jobs } from 'sluice/jobs'
import type { Transaction } from 'sluice/postgres'
import { z } from 'zod'
import { ids } from './read.ts'

export const SPREAD_AT_ONCE = 1_000

export interface Follow {
  readonly followerId: string
  readonly followeeId: string
}

/** A post for the followers whose id is greater. */
interface Spread {
  readonly postId: string
  readonly after: string
}

/** Posts of the followee that are older, for the follower; all of them without it. */
interface Fill extends Follow {
  readonly before: string | null
}

const SpreadPost = job(
  'spread_post',
  z.object({ postId: z.string(), authorId: z.string(), after: z.string() }),
)
const FillFeed = job(
  'fill_feed',
  z.object({ followerId: z.string(), followeeId: z.string(), before: z.string().nullable() }),
)

/** Nobody else writes posts of these authors into feeds before the transaction ends. */
export async function lockAuthors(tx: Transaction, authors: readonly string[]): Promise<void> {
  if (authors.length === 0) return
  await tx.execute('select from users where id = any($1) order by id for no key update', [ids(authors)])
}

/** Of each post the next followers. Who they are; the author, too. */
export async function spread(tx: Transaction, jobs: Jobs, posts: readonly Spread[]): Promise<string[]> {
  if (posts.length === 0) return []
  const written = await tx.query<Spread & { authorId: string; readers: string[] }>(
    `with reached as materialized (
       select p.id, p.author_id, f.follower_id
       from unnest($1::bigint[], $2::bigint[]) as s(post_id, after)
         join posts p on p.id = s.post_id and p.deleted_at is null
         cross join lateral (
           select follower_id from follows where followee_id = p.author_id and follower_id > s.after
           order by follower_id limit $3) f),
     own as (
       insert into feed (user_id, post_id, author_id)
       select author_id, id, author_id from posts where id = any($1) and deleted_at is null
       on conflict do nothing),
     others as (
       insert into feed (user_id, post_id, author_id) select follower_id, id, author_id from reached
       on conflict do nothing)
     select p.id as "postId", p.author_id as "authorId", max(r.follower_id) as after,
       coalesce(array_agg(r.follower_id) filter (where r.follower_id is not null), '{}') as readers
     from posts p left join reached r on r.id = p.id
     where p.id = any($1) and p.deleted_at is null group by p.id`,
    [posts.map(({ postId }) => postId), posts.map(({ after }) => after), SPREAD_AT_ONCE],
  )
  const more = written.filter(({ readers }) => readers.length === SPREAD_AT_ONCE)
  const next = more.map(({ postId, authorId, after }) => ({ data: { postId, authorId, after } }))
  if (next.length > 0) await jobs.enqueueMany(SpreadPost, next, { tx })
  return written.flatMap(({ authorId, readers }) => [authorId, ...readers])
}

/** Of each who follows, the next posts of whom they follow. Who they are. */
export async function fill(tx: Transaction, jobs: Jobs, follows: readonly Fill[]): Promise<string[]> {
  if (follows.length === 0) return []
  const written = await tx.query<Follow & { before: string; posts: number }>(
    `with found as materialized (
       select f.follower_id, f.followee_id, p.id
       from unnest($1::bigint[], $2::bigint[], $3::bigint[]) as s(follower, followee, before)
         join follows f on f.follower_id = follower and f.followee_id = followee
         cross join lateral (
           select id from posts where author_id = followee and deleted_at is null and (before is null or id < before)
           order by id desc limit $4) p),
     written as (
       insert into feed (user_id, post_id, author_id) select follower_id, id, followee_id from found
       on conflict do nothing)
     select follower_id as "followerId", followee_id as "followeeId", min(id) as before, count(*)::int as posts
     from found group by follower_id, followee_id`,
    [
      follows.map(({ followerId }) => followerId),
      follows.map(({ followeeId }) => followeeId),
      follows.map(({ before }) => before),
      SPREAD_AT_ONCE,
    ],
  )
  const more = written.filter(({ posts }) => posts >= SPREAD_AT_ONCE)
  const next = more.map(({ followerId, followeeId, before }) => ({
    data: { followerId, followeeId, before },
  }))
  if (next.length > 0) await jobs.enqueueMany(FillFeed, next, { tx })
  return written.map(({ followerId }) => followerId)
}

/** `tell` is called with those whose feeds were written. */
export function handleSpreading(
  jobs: Jobs,
  tell: (tx: Transaction, readers: readonly string[]) => void,
): void {
  jobs.handle(
    SpreadPost,
    async ({ data, tx }) => {
      await lockAuthors(tx, [data.authorId])
      tell(tx, await spread(tx, jobs, [data]))
    },
    { transaction: true },
  )
  jobs.handle(
    FillFeed,
    async ({ data, tx }) => {
      await lockAuthors(tx, [data.followeeId])
      tell(tx, await fill(tx, jobs, [data]))
    },
    { transaction: true },
  )
}
