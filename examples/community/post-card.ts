/** Posts as they are shown: text, author, counts and media from the cache, the reader's own vote from the database. */
import type { FastifyRequest } from 'fastify'
import type { Postgres } from 'sluice/postgres'
import type { Redis } from 'sluice/redis'
import { postKey, SHOWN_FOR } from './cached.ts'
import { id } from './shapes.ts'

export interface PostCard {
  readonly id: string
  readonly authorId: string
  readonly author: string
  readonly circleId: string | null
  readonly circle: string | null
  readonly body: string
  readonly at: string
  readonly edited: boolean
  readonly comments: number
  readonly ups: number
  readonly downs: number
  readonly media: {
    readonly id: string
    readonly width: number
    readonly height: number
    readonly color: string
  } | null
}

export interface ShownPost extends PostCard {
  /** Of who asks; 0 without one. */
  readonly vote: number
}

interface Stores {
  readonly db: Postgres
  readonly cache: Redis
}

/** In the order of the ids, without those that were deleted. */
export async function showPosts(
  { db, cache }: Stores,
  ids: readonly string[],
  { headers }: Pick<FastifyRequest, 'headers'>,
): Promise<readonly ShownPost[]> {
  if (ids.length === 0) return []
  const who = id.safeParse(headers['x-user'])
  const [cards, own] = await Promise.all([
    Promise.all(ids.map((each) => cache.cached(postKey(each), SHOWN_FOR, () => loadCard(db, each)))),
    who.success ? ownVotes(db, who.data, ids) : new Map<string, number>(),
  ])
  return cards.flatMap((card) => (card === null ? [] : [{ ...card, vote: own.get(card.id) ?? 0 }]))
}

async function loadCard(db: Postgres, postId: string): Promise<PostCard | null> {
  const card = await db.queryOne<PostCard>(
    `select p.id, p.author_id as "authorId", u.name as author, p.circle_id as "circleId", c.name as circle, p.body,
       p.created_at as at, p.updated_at is not null as edited, coalesce(t.comments, 0) as comments,
       coalesce(t.ups, 0) as ups, coalesce(t.downs, 0) as downs,
       case when m.id is not null
         then json_build_object('id', m.id, 'width', m.width, 'height', m.height, 'color', m.color) end as media
     from posts p join users u on u.id = p.author_id
       left join circles c on c.id = p.circle_id
       left join post_tallies t on t.post_id = p.id
       left join media m on m.id = p.media_id
     where p.id = $1 and p.deleted_at is null`,
    [postId],
  )
  return card ?? null
}

async function ownVotes(
  db: Postgres,
  who: string,
  ids: readonly string[],
): Promise<ReadonlyMap<string, number>> {
  const rows = await db.query<{ id: string; value: number }>(
    `select target_id as id, value from votes where target = 'post' and target_id = any($1) and voter_id = $2`,
    [ids, who],
  )
  return new Map(rows.map(({ id: postId, value }) => [postId, value]))
}
