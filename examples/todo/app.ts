/** What the service is made of; tests build the same app on resources of their own. */
import { createApp } from 'sluice'
import { audit } from 'sluice/audit'
import { cron } from 'sluice/cron'
import { events } from 'sluice/events'
import { jobs } from 'sluice/jobs'
import { postgres } from 'sluice/postgres'
import { redis } from 'sluice/redis'
import { threads } from 'sluice/threads'
import { analytics } from './analytics.ts'
import { digest } from './digest.ts'
import { mail } from './mail.ts'
import { migrations } from './migrations.ts'
import { reports } from './reports.ts'
import { seed } from './seed.ts'
import { settings } from './settings.ts'
import { todos } from './todos.ts'
import { users } from './users.ts'
import { webhooks } from './webhooks.ts'

export { settings }

export const components = {
  db: postgres({ migrations }), // POSTGRES_DSN; without it, a private PostgreSQL started from node_modules
  cache: redis(), // REDIS_ADDR; without it, in memory
  threads: threads(),
  jobs: jobs(), // durable queue in `db`
  events: events(), // durable log in `db`
  audit: audit(), // in `db`
  cron: cron(), // each slot once, over all processes on `db`
}

export const services = [users, todos, mail, webhooks, analytics, digest, reports, seed]

export function todoApp() {
  const app = createApp({ name: 'todo', components, settings })
  app.use(users)
  app.use(todos)
  app.use(mail)
  app.use(webhooks)
  app.use(analytics)
  app.use(digest)
  app.use(reports)
  app.use(seed)
  return app
}
