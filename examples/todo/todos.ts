/** Todos: create, list, filter, page, complete, delete. The first page of each filter is cached per user. */
import { service, type Background, type Http } from 'sluice'
import type { Events } from 'sluice/events'
import type { Postgres } from 'sluice/postgres'
import type { Redis } from 'sluice/redis'
import { z } from 'zod'
import { TodoCompleted, TodoCreated } from './events.ts'
import { NotFound } from './problems.ts'

export interface Todo {
  readonly id: string
  readonly userId: string
  readonly title: string
  readonly done: boolean
}

const COLUMNS = `id, user_id as "userId", title, done_at is not null as done`
const STATES = ['all', 'open', 'done'] as const
const DEFAULT_LIMIT = 20

const id = z.string().regex(/^\d{1,18}$/, 'a number')
const ofUser = z.object({ userId: id })
const ofTodo = z.object({ id })
const title = z
  .string()
  .trim()
  .min(1)
  .max(500)
  .regex(/^\P{Cc}*$/u, 'no control characters')
const added = z.object({ id: z.string(), userId: z.string(), title: z.string(), done: z.boolean() })
const adding = { params: ofUser, body: z.object({ title }), response: { 201: added } }
const listing = z.object({
  state: z.enum(STATES).default('all'),
  limit: z.coerce.number().int().min(1).max(100).default(DEFAULT_LIMIT),
  before: id.optional(),
})

interface Page {
  readonly items: readonly Todo[]
  /** Pass as `before` for the next page; null on the last one. */
  readonly next: string | null
}

interface Needs {
  readonly db: Postgres
  readonly cache: Redis
  readonly events: Events
  readonly http: Http
  readonly background: Background
}

export const todos = service('todos', ({ db, cache, events, http, background }: Needs) => {
  // Neither delays nor breaks the reply. A list may be stale until this has run, and at most for its TTL.
  const forget = (userId: string): void =>
    void background.run('todos.forget', () => cache.del(STATES.map((state) => pageKey(userId, state))))

  http.post('/users/:userId/todos', { schema: adding }, async (request, reply) => {
    const { userId } = request.params
    const todo = await db.transaction(async (tx) => {
      const [made] = await tx.query<Todo>(
        `insert into todos (user_id, title)
        select id, $2 from users where id = $1 returning ${COLUMNS}`,
        [userId, request.body.title],
      )
      if (made === undefined) throw new NotFound('user', userId)
      await events.publish(TodoCreated, made, { tx, key: made.id })
      return made
    })
    forget(userId)
    return reply.code(201).send(todo)
  })

  http.get('/users/:userId/todos', { schema: { params: ofUser, querystring: listing } }, (request) => {
    const { userId } = request.params
    const { state, limit, before } = request.query
    const load = (): Promise<Page> => page(db, userId, state, limit, before)
    const isFirstPage = before === undefined && limit === DEFAULT_LIMIT
    return isFirstPage ? cache.cached(pageKey(userId, state), '1m', load) : load()
  })

  http.post('/todos/:id/complete', { schema: { params: ofTodo } }, async (request) => {
    const todo = await db.transaction(async (tx) => {
      const [before] = await tx.query<Todo>(`select ${COLUMNS} from todos where id = $1 for update`, [
        request.params.id,
      ])
      if (before === undefined) throw new NotFound('todo', request.params.id)
      if (before.done) return before
      await tx.query('update todos set done_at = now() where id = $1', [before.id])
      const completed = { ...before, done: true }
      await events.publish(TodoCompleted, completed, { tx, key: completed.id })
      return completed
    })
    forget(todo.userId)
    return todo
  })

  http.delete('/todos/:id', { schema: { params: ofTodo } }, async (request, reply) => {
    const [gone] = await db.query<{ userId: string }>(
      'delete from todos where id = $1 returning user_id as "userId"',
      [request.params.id],
    )
    if (gone === undefined) throw new NotFound('todo', request.params.id)
    forget(gone.userId)
    return reply.code(204).send()
  })
})

/** Newest first. Pages by the last id seen, so that deep pages cost no more than the first one. */
async function page(
  db: Postgres,
  userId: string,
  state: (typeof STATES)[number],
  limit: number,
  before: string | undefined,
): Promise<Page> {
  const rows = await db.query<Todo>(
    `select ${COLUMNS} from todos
     where user_id = $1 and ($2::bigint is null or id < $2)
       and ($3 = 'all' or ($3 = 'open') = (done_at is null))
     order by id desc limit $4`,
    [userId, before ?? null, state, limit + 1],
  )
  const items = rows.slice(0, limit)
  return { items, next: rows.length > limit ? (items.at(-1)?.id ?? null) : null }
}

function pageKey(userId: string, state: string): string {
  return `todos:${userId}:${state}`
}
