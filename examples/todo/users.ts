/** Users and their profiles. A profile change writes its audit record in the same transaction, or neither. */
import { service, type Http } from 'sluice'
import type { Postgres } from 'sluice/postgres'
import type { Redis } from 'sluice/redis'
import { z } from 'zod'
import { NotFound } from './problems.ts'

export interface User {
  readonly id: string
  readonly email: string
  readonly name: string
  readonly bio: string
}

const id = z.object({ id: z.string().regex(/^\d{1,18}$/, 'a number') })
const newUser = z.object({ email: z.email(), name: z.string().min(1).max(100) })
const profile = z.object({
  name: z.string().min(1).max(100).optional(),
  bio: z.string().max(2_000).optional(),
})

interface Needs {
  readonly db: Postgres
  readonly cache: Redis
  readonly http: Http
}

export const users = service('users', ({ db, cache, http }: Needs) => {
  http.post('/users', { schema: { body: newUser } }, async (request, reply) => {
    const { email, name } = request.body
    const [user] = await db.query<User>(
      'insert into users (email, name) values ($1, $2) returning id, email, name, bio',
      [email, name],
    )
    return reply.code(201).send(user)
  })

  http.get('/users/:id', { schema: { params: id } }, (request) =>
    cache.cached(userKey(request.params.id), '5m', async () => {
      const [user] = await db.query<User>('select id, email, name, bio from users where id = $1', [
        request.params.id,
      ])
      if (user === undefined) throw new NotFound('user', request.params.id)
      return user
    }),
  )

  http.patch('/users/:id/profile', { schema: { params: id, body: profile } }, async (request) => {
    const { name, bio } = request.body
    const user = await db.transaction(async (tx) => {
      const [before] = await tx.query<User>(
        'select id, email, name, bio from users where id = $1 for update',
        [request.params.id],
      )
      if (before === undefined) throw new NotFound('user', request.params.id)
      const after: User = { ...before, name: name ?? before.name, bio: bio ?? before.bio }
      await tx.query('update users set name = $2, bio = $3 where id = $1', [after.id, after.name, after.bio])
      await tx.query('insert into audit (user_id, action, before, after) values ($1, $2, $3, $4)', [
        after.id,
        'profile.updated',
        JSON.stringify(before),
        JSON.stringify(after),
      ])
      return after
    })
    await cache.del(userKey(user.id)) // awaited: whoever changed the profile must see the change
    return user
  })

  http.get('/users/:id/audit', { schema: { params: id } }, (request) =>
    db.query('select action, before, after, at from audit where user_id = $1 order by id desc limit 100', [
      request.params.id,
    ]),
  )
})

function userKey(userId: string): string {
  return `user:${userId}`
}
