/**
 * Webhooks: a second reader of the same events. For each address that a user has registered it enqueues a delivery, in
 * the transaction of its place in the log; each delivery is a job, signed, and tried again with growing waits.
 *
 * The receiver checks `x-todo-signature`: `sha256=` and the HMAC of `<timestamp>.<body>` with the secret, and takes
 * `x-todo-delivery`, the same in every attempt, to know what it has had already.
 */
import { createHmac, randomBytes } from 'node:crypto'
import { service, type Http } from 'sluice'
import type { Events } from 'sluice/events'
import { job, type Jobs } from 'sluice/jobs'
import type { Postgres } from 'sluice/postgres'
import { z } from 'zod'
import { TodoCompleted, TodoCreated } from './events.ts'

const DeliverWebhook = job(
  'deliver_webhook',
  z.object({ webhookId: z.string(), event: z.string(), body: z.string() }),
  { attempts: 15, backoff: { base: '1s', max: '1h' }, timeout: '10s' },
)

const ofUser = z.object({ userId: z.string().regex(/^\d{1,18}$/, 'a number') })
const newWebhook = z.object({ url: z.url({ protocol: /^https?$/ }) })
const added = z.object({ id: z.string(), secret: z.string() })

interface Needs {
  readonly db: Postgres
  readonly events: Events
  readonly jobs: Jobs
  readonly http: Http
}

export const webhooks = service('webhooks', ({ db, events, jobs, http }: Needs) => {
  http.post(
    '/users/:userId/webhooks',
    { schema: { params: ofUser, body: newWebhook, response: { 201: added } } },
    async (request, reply) => {
      const secret = randomBytes(24).toString('base64url')
      const [made] = await db.query<{ id: string }>(
        'insert into webhooks (user_id, url, secret) values ($1, $2, $3) returning id',
        [request.params.userId, request.body.url, secret],
      )
      if (made === undefined) throw new Error('nothing was inserted')
      // Shown this once.
      return reply.code(201).send({ id: made.id, secret })
    },
  )

  events.subscribe(
    [TodoCreated, TodoCompleted],
    'webhooks',
    async ({ topic, data, tx }) => {
      const targets = await tx.query<{ id: string }>('select id from webhooks where user_id = $1', [
        data.userId,
      ])
      const body = JSON.stringify({ event: topic, todo: data })
      const deliveries = targets.map(({ id }) => ({
        data: { webhookId: id, event: topic, body },
        // One at a time and in order for each address.
        key: `webhook:${id}`,
      }))
      await jobs.enqueueMany(DeliverWebhook, deliveries, { tx })
    },
    { transaction: true },
  )

  jobs.handle(DeliverWebhook, async ({ id, data, signal }) => {
    const target = await db.queryOne<{ url: string; secret: string }>(
      'select url, secret from webhooks where id = $1',
      [data.webhookId],
    )
    if (target === undefined) return // removed meanwhile
    const timestamp = String(Math.floor(Date.now() / 1_000))
    const signature = createHmac('sha256', target.secret).update(`${timestamp}.${data.body}`).digest('hex')
    const response = await fetch(target.url, {
      method: 'POST',
      body: data.body,
      redirect: 'error',
      signal,
      headers: {
        'content-type': 'application/json',
        'x-todo-event': data.event,
        'x-todo-delivery': id,
        'x-todo-timestamp': timestamp,
        'x-todo-signature': `sha256=${signature}`,
      },
    })
    await response.body?.cancel()
    if (!response.ok) throw new Error(`the receiver answered ${response.status}`)
  })
})
