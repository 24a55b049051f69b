/**
 * The feed of each person: their own posts, and those of the people whom they follow.
 *
 * A feed is made from what is followed and posted *now*, not from what an event says, so that events may come again, late,
 * beside each other or from a replay: the last of them to come makes it right. For that, whoever writes feeds with posts of
 * an author holds the author's row: two of them could each miss what the other has not committed yet.
 *
 * A post goes to the first 1,000 followers here, and to the others by jobs of 1,000 each (`spread.ts`): an author with
 * many followers holds up nobody else's posts.
 */
import { service, type Background, type WorkerPool } from 'sluice'
import type { Events } from 'sluice/events'
import type { Jobs } from 'sluice/jobs'
import type { Postgres, Transaction } from 'sluice/postgres'
import type { Redis } from 'sluice/redis'
import { feedKey, forgetAfter } from '../cached.ts'
import type { Delays } from '../delays.ts'
import { PostDeleted, PostPublished, UserFollowed, UserUnfollowed } from '../events.ts'
import { tellLive } from '../live.ts'
import { ids, of, read } from './read.ts'
import { fill, handleSpreading, lockAuthors, spread, type Follow } from './spread.ts'

export const FEEDS = 'feeds'

interface Needs {
  readonly background: Background
  readonly cache: Redis
  readonly db: Postgres
  readonly events: Events
  readonly jobs: Jobs
  readonly pool: WorkerPool
}

export const feeds = (delays: Delays) =>
  service('feeds', ({ background, cache, db, events, jobs, pool }: Needs) => {
    const types = [PostPublished, PostDeleted, UserFollowed, UserUnfollowed]
    read({ events, pool, delays }, types, FEEDS, async (happened, tx) => {
      const posts = [...of(PostPublished, happened), ...of(PostDeleted, happened)]
      const follows = [...of(UserFollowed, happened), ...of(UserUnfollowed, happened)]
      await lockAuthors(tx, [
        ...posts.map((post) => post.authorId),
        ...follows.map((follow) => follow.followeeId),
      ])
      const postIds = ids(posts.map(({ postId }) => postId))
      tellOf(tx, [
        ...(await withdraw(tx, postIds)),
        ...(await forget(tx, follows)),
        ...(await spread(
          tx,
          jobs,
          postIds.map((postId) => ({ postId, after: '0' })),
        )),
        ...(await fill(
          tx,
          jobs,
          follows.map((follow) => ({ ...follow, before: null })),
        )),
      ])
    })
    handleSpreading(jobs, tellOf)

    function tellOf(tx: Transaction, readers: readonly string[]): void {
      const users = ids(readers)
      forgetAfter(tx, { cache, background }, users.map(feedKey))
      tellLive(tx, { db, background }, users)
    }
  })

/** Takes posts that were deleted out of all feeds. Whose these are. */
async function withdraw(tx: Transaction, postIds: readonly string[]): Promise<string[]> {
  if (postIds.length === 0) return []
  const gone = await tx.query<{ id: string }>(
    `delete from feed f using posts p where f.post_id = any($1) and p.id = f.post_id and p.deleted_at is not null
     returning f.user_id as id`,
    [postIds],
  )
  return gone.map(({ id }) => id)
}

/** Takes out of feeds what was posted by those who are not followed any more. Whose these are. */
async function forget(tx: Transaction, follows: readonly Follow[]): Promise<string[]> {
  if (follows.length === 0) return []
  const gone = await tx.query<{ id: string }>(
    `delete from feed f using unnest($1::bigint[], $2::bigint[]) as pair(follower, followee)
     where f.user_id = follower and f.author_id = followee
       and not exists (select from follows where follower_id = follower and followee_id = followee)
     returning f.user_id as id`,
    [follows.map(({ followerId }) => followerId), follows.map(({ followeeId }) => followeeId)],
  )
  return gone.map(({ id }) => id)
}
