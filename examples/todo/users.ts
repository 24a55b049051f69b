/** Users and their profiles. A profile change writes its audit record in the same transaction, or neither. */
import { service, type Http } from 'sluice'
import type { Audit } from 'sluice/audit'
import type { Jobs } from 'sluice/jobs'
import type { Postgres } from 'sluice/postgres'
import type { Redis } from 'sluice/redis'
import { z } from 'zod'
import { SendEmail } from './mail.ts'
import { NotFound } from './problems.ts'

export interface User {
  readonly id: string
  readonly email: string
  readonly name: string
  readonly bio: string
}

const id = z.object({ id: z.string().regex(/^\d{1,18}$/, 'a number') })
const personName = z
  .string()
  .min(1)
  .max(100)
  .regex(/^\P{Cc}*$/u, 'no control characters')
const newUser = z.object({ email: z.email(), name: personName })
const profile = z.object({
  name: personName.optional(),
  bio: z
    .string()
    .max(2_000)
    .regex(/^(?:\P{Cc}|[\t\r\n])*$/u, 'no control characters but tabs and line ends')
    .optional(),
})

const added = z.object({ id: z.string(), email: z.string(), name: z.string(), bio: z.string() })

interface Needs {
  readonly audit: Audit
  readonly db: Postgres
  readonly jobs: Jobs
  readonly cache: Redis
  readonly http: Http
}

export const users = service('users', ({ audit, db, cache, http, jobs }: Needs) => {
  http.post('/users', { schema: { body: newUser, response: { 201: added } } }, async (request, reply) => {
    const { email, name } = request.body
    const user = await db.transaction(async (tx) => {
      const [made] = await tx.query<User>(
        'insert into users (email, name) values ($1, $2) returning id, email, name, bio',
        [email, name],
      )
      if (made === undefined) throw new Error('nothing was inserted')
      // Commits with the user, or not at all; the reply does not wait for the mail server.
      await jobs.enqueue(
        SendEmail,
        { to: email, subject: `Welcome, ${name}`, text: 'Your list is empty. Add something.' },
        { tx },
      )
      return made
    })
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
      const subject = userKey(after.id)
      await audit.record({ actor: subject, action: 'profile.updated', subject, before, after }, { tx })
      return after
    })
    await cache.del(userKey(user.id)) // awaited: whoever changed the profile must see the change
    return user
  })

  http.get('/users/:id/audit', { schema: { params: id } }, async (request) => {
    const { records } = await audit.query({ subject: userKey(request.params.id), limit: 100 })
    return records.map(({ action, before, after, at }) => ({ action, before, after, at }))
  })
})

function userKey(userId: string): string {
  return `user:${userId}`
}
