/** What somebody was told, and what they have read of it. */
import { service, type Http } from 'sluice'
import type { Postgres } from 'sluice/postgres'
import { z } from 'zod'
import { id, paging, whoAsks } from '../shapes.ts'

export interface Notice {
  readonly id: string
  readonly kind: string
  readonly actor: string
  readonly postId: string | null
  readonly commentId: string | null
  readonly at: string
  readonly read: boolean
}

const upTo = z.object({ upTo: id })

export const notifications = service(
  'notifications',
  ({ db, http }: { readonly db: Postgres; readonly http: Http }) => {
    http.get('/notifications', { schema: { querystring: paging } }, (request) =>
      noticesOf(db, whoAsks(request), request.query.limit, request.query.before),
    )

    http.post('/notifications/read', { schema: { body: upTo } }, async (request, reply) => {
      await db.update(
        'update notifications set read_at = now() where user_id = $1 and id <= $2 and read_at is null',
        [whoAsks(request), request.body.upTo],
      )
      return reply.code(204).send()
    })
  },
)

/** Newest first. */
export function noticesOf(db: Postgres, userId: string, limit: number, before?: string): Promise<Notice[]> {
  return db.query<Notice>(
    `select n.id, kind, u.name as actor, post_id as "postId", comment_id as "commentId", at, read_at is not null as read
     from notifications n join users u on u.id = actor_id
     where user_id = $1 and ($2::bigint is null or n.id < $2) order by n.id desc limit $3`,
    [userId, before ?? null, limit],
  )
}
