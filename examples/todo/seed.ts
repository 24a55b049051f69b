/** A first user with a few todos, so that the first `curl` shows something. Runs on every start, adds once. */
import { service, type Logger } from 'sluice'
import type { Postgres } from 'sluice/postgres'

const EMAIL = 'ada@example.com'
const TITLES = [
  'Read the first screen',
  'Open /health',
  'Write a service',
  'Write the first service',
  'Call a friend',
]

export const seed = service('seed', ({ db, log }: { readonly db: Postgres; readonly log: Logger }) => ({
  start: async () => {
    const added = await db.query<{ user_id: string }>(
      `with ada as (insert into users (email, name) values ($1, 'Ada') on conflict (email) do nothing returning id)
       insert into todos (user_id, title) select ada.id, title from ada, unnest($2::text[]) as title returning user_id`,
      [EMAIL, TITLES],
    )
    if (added[0] !== undefined) log.info({ user: added[0].user_id, todos: added.length }, 'seeded')
  },
}))
