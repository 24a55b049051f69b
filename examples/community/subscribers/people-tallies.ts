/** Followers, following and posts of people, members of circles: counted as those of posts are. */
import { service, type Background, type WorkerPool } from 'sluice'
import type { Events } from 'sluice/events'
import type { Postgres, Transaction } from 'sluice/postgres'
import type { Redis } from 'sluice/redis'
import { forgetAfter, userKey } from '../cached.ts'
import type { Delays } from '../delays.ts'
import {
  CircleJoined,
  CircleLeft,
  PostDeleted,
  PostPublished,
  UserFollowed,
  UserRegistered,
  UserUnfollowed,
} from '../events.ts'
import { of, read } from './read.ts'
import { Sums } from './sums.ts'

interface Needs {
  readonly background: Background
  readonly cache: Redis
  readonly db: Postgres
  readonly events: Events
  readonly pool: WorkerPool
}

export const peopleTallies = (delays: Delays) =>
  service('people-tallies', ({ background, cache, events, pool }: Needs) => {
    const types = [UserRegistered, UserFollowed, UserUnfollowed, PostPublished, PostDeleted]
    read({ events, pool, delays }, types, 'people-tallies', async (all, tx) => {
      const happened = all.filter(({ replay }) => replay === undefined)
      const people = new Sums(['followers', 'following', 'posts'])
      for (const { userId } of of(UserRegistered, happened)) people.add(userId, {})
      for (const [type, by] of [
        [UserFollowed, 1],
        [UserUnfollowed, -1],
      ] as const) {
        for (const { followerId, followeeId } of of(type, happened)) {
          people.add(followeeId, { followers: by })
          people.add(followerId, { following: by })
        }
      }
      for (const { authorId } of of(PostPublished, happened)) people.add(authorId, { posts: 1 })
      for (const { authorId } of of(PostDeleted, happened)) people.add(authorId, { posts: -1 })
      await addToPeople(tx, people)
      forgetAfter(tx, { cache, background }, people.ids.map(userKey))
    })

    read({ events, pool, delays }, [CircleJoined, CircleLeft], 'circle-tallies', async (all, tx) => {
      const happened = all.filter(({ replay }) => replay === undefined)
      const circles = new Sums(['members'])
      for (const { circleId } of of(CircleJoined, happened)) circles.add(circleId, { members: 1 })
      for (const { circleId } of of(CircleLeft, happened)) circles.add(circleId, { members: -1 })
      await addToCircles(tx, circles)
    })
  })

async function addToPeople(
  tx: Transaction,
  people: Sums<'followers' | 'following' | 'posts'>,
): Promise<void> {
  if (people.ids.length === 0) return
  await tx.execute(
    `insert into user_tallies as t (user_id, followers, following, posts)
     select * from unnest($1::bigint[], $2::int[], $3::int[], $4::int[]) as s(id, followers, following, posts) order by id
     on conflict (user_id) do update set followers = t.followers + excluded.followers,
       following = t.following + excluded.following, posts = t.posts + excluded.posts`,
    people.columns,
  )
}

async function addToCircles(tx: Transaction, circles: Sums<'members'>): Promise<void> {
  if (circles.ids.length === 0) return
  await tx.execute(
    `insert into circle_tallies as t (circle_id, members)
     select * from unnest($1::bigint[], $2::int[]) as s(id, members) order by id
     on conflict (circle_id) do update set members = t.members + excluded.members`,
    circles.columns,
  )
}
