/** Posts: publish, look at, change, delete. */
import { service, type Http } from 'sluice'
import type { Events } from 'sluice/events'
import type { Postgres, Transaction } from 'sluice/postgres'
import type { Redis } from 'sluice/redis'
import { z } from 'zod'
import { ofPost, PostDeleted, PostPublished, PostUpdated } from '../events.ts'
import { showPosts } from '../post-card.ts'
import { NotFound, Refused } from '../problems.ts'
import { byId, id, text, whoAsks } from '../shapes.ts'

const newPost = z.object({ body: text, circleId: id.optional(), mediaId: z.uuid().optional() })
const newBody = z.object({ body: text })

interface Needs {
  readonly db: Postgres
  readonly cache: Redis
  readonly events: Events
  readonly http: Http
}

export const posts = service('posts', ({ db, cache, events, http }: Needs) => {
  http.post('/posts', { schema: { body: newPost } }, async (request, reply) => {
    const authorId = whoAsks(request)
    const { body, circleId, mediaId } = request.body
    const postId = await db.transaction(async (tx) => {
      if (mediaId !== undefined) await mustBeOwn(tx, mediaId, authorId)
      const number = circleId === undefined ? null : await nextNumber(tx, circleId, authorId)
      const made = await tx.queryOne<{ id: string }>(
        `insert into posts (author_id, circle_id, number, body, media_id)
         select id, $2, $3, $4, $5 from users where id = $1 returning id`,
        [authorId, circleId ?? null, number, body, mediaId ?? null],
      )
      if (made === undefined) throw new NotFound('user', authorId)
      await events.publish(PostPublished, { postId: made.id, authorId }, { tx, key: ofPost(made.id) })
      return made.id
    })
    return reply.code(201).send({ id: postId })
  })

  http.get('/posts/:id', { schema: { params: byId } }, async (request) => {
    const [post] = await showPosts({ db, cache }, [request.params.id], request)
    if (post === undefined) throw new NotFound('post', request.params.id)
    return post
  })

  http.patch('/posts/:id', { schema: { params: byId, body: newBody } }, async (request, reply) => {
    await db.transaction(async (tx) => {
      const post = await lockOwn(tx, request.params.id, whoAsks(request))
      if (post.body === request.body.body) return
      await tx.update('update posts set body = $2, updated_at = now() where id = $1', [
        post.id,
        request.body.body,
      ])
      await events.publish(
        PostUpdated,
        { postId: post.id, authorId: post.authorId },
        { tx, key: ofPost(post.id) },
      )
    })
    return reply.code(204).send()
  })

  http.delete('/posts/:id', { schema: { params: byId } }, async (request, reply) => {
    await db.transaction(async (tx) => {
      const post = await lockOwn(tx, request.params.id, whoAsks(request))
      await tx.update('update posts set deleted_at = now() where id = $1', [post.id])
      await events.publish(
        PostDeleted,
        { postId: post.id, authorId: post.authorId },
        { tx, key: ofPost(post.id) },
      )
    })
    return reply.code(204).send()
  })
})

async function lockOwn(tx: Transaction, postId: string, who: string) {
  const post = await tx.queryOne<{ id: string; authorId: string; body: string }>(
    `select id, author_id as "authorId", body from posts where id = $1 and deleted_at is null for no key update`,
    [postId],
  )
  if (post === undefined) throw new NotFound('post', postId)
  if (post.authorId !== who) throw new Refused(403, 'it is the post of somebody else')
  return post
}

/** The number of a new post of the circle, whose members may post. */
async function nextNumber(tx: Transaction, circleId: string, who: string): Promise<number> {
  const circle = await tx.queryOne<{ posts: number }>(
    'update circles set posts = posts + 1 where id = $1 returning posts',
    [circleId],
  )
  if (circle === undefined) throw new NotFound('circle', circleId)
  const member = await tx.queryOne(
    'select from stays where circle_id = $1 and user_id = $2 and until is null',
    [circleId, who],
  )
  if (member === undefined) throw new Refused(403, 'only members post in a circle')
  return circle.posts
}

async function mustBeOwn(tx: Transaction, mediaId: string, who: string): Promise<void> {
  const media = await tx.queryOne<{ state: string }>(
    'select state from media where id = $1 and owner_id = $2',
    [mediaId, who],
  )
  if (media === undefined) throw new NotFound('media', mediaId)
  if (media.state !== 'ready') throw new Refused(409, `that media is not ready: it is ${media.state}`)
}
