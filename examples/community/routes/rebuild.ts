/**
 * Makes the search index or the feeds anew from the log of events, while the site runs: `POST /rebuild/search-index`. Both
 * are made from what is there now, so that a replay puts right whatever is missing or wrong, beside what goes on
 * meanwhile; `{ "empty": true }` lets go of all that is there first. For whoever is on this machine.
 */
import { service, type Http } from 'sluice'
import type { Events } from 'sluice/events'
import type { Postgres } from 'sluice/postgres'
import { z } from 'zod'
import { Refused } from '../problems.ts'
import { FEEDS } from '../subscribers/feeds.ts'
import { SEARCH_INDEX } from '../subscribers/search-index.ts'

const TABLES = { [FEEDS]: 'feed', [SEARCH_INDEX]: 'search' } as const
const MACHINE = new Set(['127.0.0.1', '::1', '::ffff:127.0.0.1'])

const what = z.object({ what: z.enum([FEEDS, SEARCH_INDEX]) })
const how = z.object({
  empty: z.boolean().default(false),
  rate: z.number().int().min(1).max(100_000).default(1_000),
})

interface Needs {
  readonly db: Postgres
  readonly events: Events
  readonly http: Http
}

export const rebuild = service('rebuild', ({ db, events, http }: Needs) => {
  http.addHook('onRequest', async ({ ip }) => {
    if (!MACHINE.has(ip)) throw new Refused(403, 'only from the machine itself')
  })

  http.post('/rebuild/:what', { schema: { params: what, body: how } }, async (request, reply) => {
    const { empty, rate } = request.body
    // First, so that nothing of what is made anew is lost with it. Whoever dies in between asks again.
    if (empty) await db.execute(`truncate ${TABLES[request.params.what]}`)
    const { id } = await events.replay(request.params.what, { from: 'beginning', rate, by: request.ip })
    return reply.code(202).send({ id })
  })

  http.get('/rebuild/:what', { schema: { params: what } }, (request) => events.replays(request.params.what))
})
