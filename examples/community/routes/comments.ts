/** Comments and their threads. */
import { service, type Http } from 'sluice'
import type { Events } from 'sluice/events'
import type { Postgres, Transaction } from 'sluice/postgres'
import { z } from 'zod'
import { CommentCreated, CommentDeleted, ofPost } from '../events.ts'
import { NotFound, Refused } from '../problems.ts'
import { byId, id, text, whoAsks } from '../shapes.ts'

const newComment = z.object({ body: text, parentId: id.optional() })
/** Of one page; a thread is read as a whole. */
const MOST = 500

interface Needs {
  readonly db: Postgres
  readonly events: Events
  readonly http: Http
}

export const comments = service('comments', ({ db, events, http }: Needs) => {
  http.post('/posts/:id/comments', { schema: { params: byId, body: newComment } }, async (request, reply) => {
    const authorId = whoAsks(request)
    const postId = request.params.id
    const { body, parentId = null } = request.body
    const made = await db.transaction(async (tx) => {
      await mustBeThere(tx, postId)
      if (parentId !== null) await mustBeIn(tx, parentId, postId)
      const row = await tx.queryOne<{ id: string }>(
        `insert into comments (post_id, parent_id, author_id, body)
         select $2, $3, id, $4 from users where id = $1 returning id`,
        [authorId, postId, parentId, body],
      )
      if (row === undefined) throw new NotFound('user', authorId)
      const comment = { commentId: row.id, postId, parentId, authorId }
      await events.publish(CommentCreated, comment, { tx, key: ofPost(postId) })
      return row
    })
    return reply.code(201).send({ id: made.id })
  })

  /** In the order in which they were written; what was deleted keeps its place, without its text. */
  http.get('/posts/:id/comments', { schema: { params: byId } }, (request) =>
    db.query(
      `select c.id, c.parent_id as "parentId", c.author_id as "authorId", u.name as author,
         case when c.deleted_at is null then c.body end as body, c.created_at as at,
         coalesce(t.replies, 0) as replies, coalesce(t.ups - t.downs, 0) as score
       from comments c join users u on u.id = c.author_id left join comment_tallies t on t.comment_id = c.id
       where c.post_id = $1 order by c.id limit ${MOST}`,
      [request.params.id],
    ),
  )

  http.delete('/comments/:id', { schema: { params: byId } }, async (request, reply) => {
    const who = whoAsks(request)
    await db.transaction(async (tx) => {
      const comment = await tx.queryOne<{ postId: string; parentId: string | null; authorId: string }>(
        `select post_id as "postId", parent_id as "parentId", author_id as "authorId"
         from comments where id = $1 and deleted_at is null for no key update`,
        [request.params.id],
      )
      if (comment === undefined) throw new NotFound('comment', request.params.id)
      if (comment.authorId !== who) throw new Refused(403, 'it is the comment of somebody else')
      await tx.update('update comments set deleted_at = now() where id = $1', [request.params.id])
      const deleted = { commentId: request.params.id, ...comment }
      await events.publish(CommentDeleted, deleted, { tx, key: ofPost(comment.postId) })
    })
    return reply.code(204).send()
  })
})

/** It cannot be deleted before this transaction ends. */
async function mustBeThere(tx: Transaction, postId: string): Promise<void> {
  const post = await tx.queryOne('select from posts where id = $1 and deleted_at is null for share', [postId])
  if (post === undefined) throw new NotFound('post', postId)
}

async function mustBeIn(tx: Transaction, parentId: string, postId: string): Promise<void> {
  const parent = await tx.queryOne('select from comments where id = $1 and post_id = $2', [parentId, postId])
  if (parent === undefined) throw new NotFound('comment', parentId)
}
