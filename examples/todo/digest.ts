/** Every night, one e-mail to each user with open todos. The slot runs once, however many processes there are. */
import { service } from 'sluice'
import type { Cron } from 'sluice/cron'
import type { Jobs } from 'sluice/jobs'
import type { Postgres } from 'sluice/postgres'
import { SendEmail } from './mail.ts'

interface Needs {
  readonly cron: Cron
  readonly db: Postgres
  readonly jobs: Jobs
}

export const DIGEST = 'nightly-digest'

export const digest = service('digest', ({ cron, db, jobs }: Needs) => {
  cron.schedule(
    DIGEST,
    '0 0 2 * * *',
    async ({ slot, log }) => {
      const users = await db.query<{ id: string; email: string; open: number; first: string }>(
        `select users.id, email, count(*)::int as open, min(title) as first
         from users join todos on user_id = users.id where done_at is null group by users.id`,
      )
      const day = slot.toISOString().slice(0, 10)
      const mails = users.map(({ id, email, open, first }) => ({
        data: { to: email, subject: `${open} open todos`, text: `Begin with: ${first}` },
        // A run that dies in the middle and comes again sends nobody a second one.
        unique: { key: `digest:${id}:${day}`, for: '2d' },
      }))
      await jobs.enqueueMany(SendEmail, mails)
      log.info({ users: users.length }, 'digest enqueued')
    },
    { timezone: 'Europe/Berlin', missed: 'once', retries: 3 },
  )
})
