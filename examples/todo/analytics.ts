/** Counts what happens, off the request's path. A lost count hurts nobody; what must not be lost is never sent so. */
import { service, type Background, type Http } from 'sluice'
import type { Postgres } from 'sluice/postgres'

/** Fire and forget: a failure is logged and counted, the request knows nothing of it. */
export function track(background: Background, db: Postgres, name: string): void {
  void background.run(`analytics.${name}`, () =>
    db.query(
      `insert into analytics (day, name, times) values (current_date, $1, 1)
       on conflict (day, name) do update set times = analytics.times + 1`,
      [name],
    ),
  )
}

export const analytics = service(
  'analytics',
  ({ db, http }: { readonly db: Postgres; readonly http: Http }) => {
    http.get('/analytics', () =>
      db.query(
        `select to_char(day, 'YYYY-MM-DD') as day, name, times::int from analytics order by 1 desc, 2 limit 100`,
      ),
    )
  },
)
