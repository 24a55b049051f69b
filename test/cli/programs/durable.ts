/** An app with all that lives in a database; only looked at, so that nothing of it may run. */
import { createApp } from 'sluice'
import { cron } from 'sluice/cron'
import { events } from 'sluice/events'
import { jobs } from 'sluice/jobs'
import { postgres } from 'sluice/postgres'

export const app = createApp({
  name: 'durable',
  components: {
    db: postgres({
      migrations: [
        { name: '001_todos', up: 'create table todos (id int primary key)' },
        { name: '002_done', up: 'alter table todos add column done boolean' },
      ],
    }),
    work: jobs({ database: 'db' }),
    news: events({ database: 'db' }),
    clock: cron({ database: 'db' }),
  },
})
