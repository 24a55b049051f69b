/** Circles: make one, join it, leave it, read what was posted in it. */
import { service, type Http } from 'sluice'
import type { Events } from 'sluice/events'
import type { Postgres, Transaction } from 'sluice/postgres'
import type { Redis } from 'sluice/redis'
import { z } from 'zod'
import { CircleJoined, CircleLeft, ofCircle } from '../events.ts'
import { showPosts } from '../post-card.ts'
import { NotFound } from '../problems.ts'
import { byId, paging, whoAsks } from '../shapes.ts'

const newCircle = z.object({ name: z.string().trim().min(1).max(60) })

interface Needs {
  readonly db: Postgres
  readonly cache: Redis
  readonly events: Events
  readonly http: Http
}

export const circles = service('circles', ({ db, cache, events, http }: Needs) => {
  http.post('/circles', { schema: { body: newCircle } }, async (request, reply) => {
    const userId = whoAsks(request)
    const circle = await db.transaction(async (tx) => {
      const made = await tx.queryOne<{ id: string }>(
        'insert into circles (name, owner_id) select $1, id from users where id = $2 returning id',
        [request.body.name, userId],
      )
      if (made === undefined) throw new NotFound('user', userId)
      await join(tx, events, made.id, userId)
      return { id: made.id, name: request.body.name }
    })
    return reply.code(201).send(circle)
  })

  http.get('/circles', () =>
    db.query(
      `select id, name, coalesce(members, 0) as members
       from circles left join circle_tallies on circle_id = id order by members desc nulls last, id limit 100`,
    ),
  )

  http.get('/circles/:id/posts', { schema: { params: byId, querystring: paging } }, async (request) => {
    const { limit, before } = request.query
    const posts = await db.query<{ id: string }>(
      `select id from posts where circle_id = $1 and deleted_at is null and ($2::bigint is null or id < $2)
       order by id desc limit $3`,
      [request.params.id, before ?? null, limit],
    )
    return showPosts(
      { db, cache },
      posts.map(({ id }) => id),
      request,
    )
  })

  http.put('/circles/:id/membership', { schema: { params: byId } }, async (request, reply) => {
    await db.transaction((tx) => join(tx, events, request.params.id, whoAsks(request)))
    return reply.code(204).send()
  })

  http.delete('/circles/:id/membership', { schema: { params: byId } }, async (request, reply) => {
    const { id } = request.params
    const userId = whoAsks(request)
    await db.transaction(async (tx) => {
      const posts = await lockCircle(tx, id)
      const left = await tx.update(
        'update stays set until = $3 where circle_id = $1 and user_id = $2 and until is null',
        [id, userId, posts],
      )
      if (left === 1) await events.publish(CircleLeft, { circleId: id, userId }, { tx, key: ofCircle(id) })
    })
    return reply.code(204).send()
  })
})

async function join(tx: Transaction, events: Events, circleId: string, userId: string): Promise<void> {
  const posts = await lockCircle(tx, circleId)
  const made = await tx.insert(
    `insert into stays (circle_id, user_id, since) select $1, id, $3 from users where id = $2
     on conflict (circle_id, user_id) where until is null do nothing`,
    [circleId, userId, posts],
  )
  if (made === 1) await events.publish(CircleJoined, { circleId, userId }, { tx, key: ofCircle(circleId) })
}

/** Nobody posts in it, joins or leaves until this transaction has ended. How many posts it has had. */
async function lockCircle(tx: Transaction, id: string): Promise<number> {
  const circle = await tx.queryOne<{ posts: number }>(
    'select posts from circles where id = $1 for no key update',
    [id],
  )
  if (circle === undefined) throw new NotFound('circle', id)
  return circle.posts
}
