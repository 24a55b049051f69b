/** Users: register, look at, follow and stop following. Doing one of these twice changes nothing and tells of nothing. */
import { service, type Http } from 'sluice'
import type { Events } from 'sluice/events'
import type { Postgres } from 'sluice/postgres'
import type { Redis } from 'sluice/redis'
import { z } from 'zod'
import { userKey, SHOWN_FOR } from '../cached.ts'
import { ofUser, UserFollowed, UserRegistered, UserUnfollowed } from '../events.ts'
import { NotFound, Refused } from '../problems.ts'
import { byId, id, whoAsks } from '../shapes.ts'

export interface User {
  readonly id: string
  readonly name: string
  readonly followers: number
  readonly following: number
  readonly posts: number
}

const newUser = z.object({
  name: z.string().regex(/^[a-z][a-z0-9_]{1,29}$/, 'a-z, 0-9 and _, a letter first'),
})
const byName = z.object({ name: z.string().max(30).default('') })

interface Needs {
  readonly db: Postgres
  readonly cache: Redis
  readonly events: Events
  readonly http: Http
}

export const users = service('users', ({ db, cache, events, http }: Needs) => {
  http.post('/users', { schema: { body: newUser } }, async (request, reply) => {
    const { name } = request.body
    const user = await db.transaction(async (tx) => {
      const made = await tx.queryOne<{ id: string }>('insert into users (name) values ($1) returning id', [
        name,
      ])
      if (made === undefined) throw new Error('nothing was inserted')
      await events.publish(UserRegistered, { userId: made.id, name }, { tx, key: ofUser(made.id) })
      return { id: made.id, name }
    })
    return reply.code(201).send(user)
  })

  /** By the beginning of their name, that one first, then those with the most followers. */
  http.get('/users', { schema: { querystring: byName } }, ({ query, headers }) => {
    const who = id.safeParse(headers['x-user'])
    return db.query(
      `select u.id, name, coalesce(followers, 0) as followers,
         exists (select from follows where follower_id = $2 and followee_id = u.id) as followed
       from users u left join user_tallies on user_id = u.id
       where starts_with(name, $1) order by name = $1 desc, followers desc nulls last, u.id limit 8`,
      [query.name, who.success ? who.data : null],
    )
  })

  http.get('/users/:id', { schema: { params: byId } }, (request) =>
    cache.cached(userKey(request.params.id), SHOWN_FOR, async () => {
      const user = await db.queryOne<User>(
        `select u.id, name, coalesce(followers, 0) as followers, coalesce(following, 0) as following,
           coalesce(posts, 0) as posts
         from users u left join user_tallies t on t.user_id = u.id where u.id = $1`,
        [request.params.id],
      )
      if (user === undefined) throw new NotFound('user', request.params.id)
      return user
    }),
  )

  http.put('/users/:id/follow', { schema: { params: byId } }, async (request, reply) => {
    const follow = { followerId: whoAsks(request), followeeId: request.params.id }
    if (follow.followerId === follow.followeeId) throw new Refused(422, 'nobody follows themselves')
    await db.transaction(async (tx) => {
      const known = await tx.query('select from users where id = any($1)', [Object.values(follow)])
      if (known.length < 2) throw new NotFound('user', follow.followeeId)
      const made = await tx.insert(
        'insert into follows (follower_id, followee_id) values ($1, $2) on conflict do nothing',
        [follow.followerId, follow.followeeId],
      )
      if (made === 1) await events.publish(UserFollowed, follow, { tx, key: ofUser(follow.followeeId) })
    })
    return reply.code(204).send()
  })

  http.delete('/users/:id/follow', { schema: { params: byId } }, async (request, reply) => {
    const follow = { followerId: whoAsks(request), followeeId: request.params.id }
    await db.transaction(async (tx) => {
      const gone = await tx.delete('delete from follows where follower_id = $1 and followee_id = $2', [
        follow.followerId,
        follow.followeeId,
      ])
      if (gone === 1) await events.publish(UserUnfollowed, follow, { tx, key: ofUser(follow.followeeId) })
    })
    return reply.code(204).send()
  })
})
