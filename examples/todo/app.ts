/** What the service is made of; tests build the same app on resources of their own. */
import { createApp } from 'sluice'
import { postgres } from 'sluice/postgres'
import { redis } from 'sluice/redis'
import { threads } from 'sluice/threads'
import { analytics } from './analytics.ts'
import { migrations } from './migrations.ts'
import { reports } from './reports.ts'
import { seed } from './seed.ts'
import { todos } from './todos.ts'
import { users } from './users.ts'

export const components = {
  db: postgres({ migrations }), // POSTGRES_DSN; without it, a private PostgreSQL started from node_modules
  cache: redis(), // REDIS_ADDR; without it, in memory
  threads: threads(),
}

export const services = [users, todos, analytics, reports, seed]

export function todoApp() {
  const app = createApp({ name: 'todo', components })
  app.use(users)
  app.use(todos)
  app.use(analytics)
  app.use(reports)
  app.use(seed)
  return app
}
