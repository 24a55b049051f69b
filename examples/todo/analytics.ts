/**
 * Counts what happened, from the log of events. The counts and the subscription's place in the log are one transaction,
 * so that nothing is counted twice, whatever dies; and since it begins at the beginning, it may be added years later.
 */
import { service, type Http } from 'sluice'
import type { Events } from 'sluice/events'
import type { Postgres } from 'sluice/postgres'
import { TodoCompleted, TodoCreated } from './events.ts'

interface Needs {
  readonly db: Postgres
  readonly events: Events
  readonly http: Http
}

export const analytics = service('analytics', ({ db, events, http }: Needs) => {
  events.subscribe(
    [TodoCreated, TodoCompleted],
    'analytics',
    async ({ events: happened, tx }) => {
      await tx.query(
        `insert into analytics (day, name, times)
         select at::date, name, count(*) from unnest($1::timestamptz[], $2::text[]) as h(at, name) group by 1, 2
         on conflict (day, name) do update set times = analytics.times + excluded.times`,
        [happened.map(({ publishedAt }) => publishedAt), happened.map(({ topic }) => topic)],
      )
    },
    { batch: 200, transaction: true, from: 'beginning' },
  )

  http.get('/analytics', () =>
    db.query(
      `select to_char(day, 'YYYY-MM-DD') as day, name, times::int from analytics order by 1 desc, 2 limit 100`,
    ),
  )
})
