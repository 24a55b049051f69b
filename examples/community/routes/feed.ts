/** What there is to read: the own feed, what is hot, what was found. */
import { service, type Http } from 'sluice'
import type { Postgres } from 'sluice/postgres'
import type { Redis } from 'sluice/redis'
import { z } from 'zod'
import { feedKey, SHOWN_FOR } from '../cached.ts'
import { showPosts, type ShownPost } from '../post-card.ts'
import { paging, whoAsks } from '../shapes.ts'

const DEFAULT_LIMIT = 20
const HOT_FOR = '5s'
const question = z.object({ q: z.string().trim().min(1).max(200) })

export interface Page {
  readonly items: readonly ShownPost[]
  /** Pass as `before` for the next page; null on the last one. */
  readonly next: string | null
}

interface Needs {
  readonly db: Postgres
  readonly cache: Redis
  readonly http: Http
}

export const feed = service('feed', ({ db, cache, http }: Needs) => {
  http.get('/feed', { schema: { querystring: paging } }, async (request): Promise<Page> => {
    const who = whoAsks(request)
    const { limit, before } = request.query
    const load = async (): Promise<string[]> => {
      const rows = await db.query<{ id: string }>(
        `select post_id as id from feed where user_id = $1 and ($2::bigint is null or post_id < $2)
         order by post_id desc limit $3`,
        [who, before ?? null, limit],
      )
      return rows.map(({ id }) => id)
    }
    const isFirstPage = before === undefined && limit === DEFAULT_LIMIT
    const ids = await (isFirstPage ? cache.cached(feedKey(who), SHOWN_FOR, load) : load())
    return {
      items: await showPosts({ db, cache }, ids, request),
      next: ids.length === limit ? (ids.at(-1) ?? null) : null,
    }
  })

  http.get('/hot', async (request): Promise<Page> => {
    const ids = await cache.cached('hot', HOT_FOR, async () => {
      const rows = await db.query<{ id: string }>(
        `select p.id from post_tallies t join posts p on p.id = t.post_id and p.deleted_at is null
         order by t.hotness desc limit ${DEFAULT_LIMIT}`,
      )
      return rows.map(({ id }) => id)
    })
    return { items: await showPosts({ db, cache }, ids, request), next: null }
  })

  http.get('/search', { schema: { querystring: question } }, async (request): Promise<Page> => {
    const found = await db.query<{ id: string }>(
      `select post_id as id from search, websearch_to_tsquery('english', $1) as question
       where document @@ question order by ts_rank(document, question) desc, post_id desc limit ${DEFAULT_LIMIT}`,
      [request.query.q],
    )
    return {
      items: await showPosts(
        { db, cache },
        found.map(({ id }) => id),
        request,
      ),
      next: null,
    }
  })
})
