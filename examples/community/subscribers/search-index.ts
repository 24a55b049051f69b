/**
 * The search index: the words of each post that is there. It is made from the post and not from the event, and the post
 * cannot change until that is committed, so that events may come again, late, or from a replay.
 */
import { service, type WorkerPool, type Background } from 'sluice'
import type { Events } from 'sluice/events'
import type { Postgres } from 'sluice/postgres'
import type { Redis } from 'sluice/redis'
import { forgetAfter, postKey } from '../cached.ts'
import type { Delays } from '../delays.ts'
import { PostDeleted, PostPublished, PostUpdated } from '../events.ts'
import { ids, of, read } from './read.ts'

export const SEARCH_INDEX = 'search-index'

interface Needs {
  readonly background: Background
  readonly cache: Redis
  readonly db: Postgres
  readonly events: Events
  readonly pool: WorkerPool
}

export const searchIndex = (delays: Delays) =>
  service('search-index', ({ background, cache, events, pool }: Needs) => {
    const types = [PostPublished, PostUpdated, PostDeleted]
    read({ events, pool, delays }, types, SEARCH_INDEX, async (happened, tx) => {
      const posts = ids(types.flatMap((type) => of(type, happened)).map(({ postId }) => postId))
      await tx.execute(
        `with alive as (
           select id, body from posts where id = any($1) and deleted_at is null order by id for share)
         insert into search (post_id, document) select id, to_tsvector('english', body) from alive
         on conflict (post_id) do update set document = excluded.document`,
        [posts],
      )
      await tx.execute(
        `delete from search s using posts p where s.post_id = any($1) and p.id = s.post_id and p.deleted_at is not null`,
        [posts],
      )
      forgetAfter(tx, { cache, background }, posts.map(postKey))
    })
  })
