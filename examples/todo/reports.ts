/** A report that takes real CPU time: it runs in a worker thread, and the event loop keeps answering. */
import { service, type Http } from 'sluice'
import type { Postgres } from 'sluice/postgres'
import type { Threads } from 'sluice/threads'
import { z } from 'zod'
import type { Report } from './report-task.ts'

const TASK = new URL('./report-task.ts', import.meta.url)
const ofUser = z.object({ userId: z.string().regex(/^\d{1,18}$/, 'a number') })

interface Needs {
  readonly db: Postgres
  readonly threads: Threads
  readonly http: Http
}

export const reports = service('reports', ({ db, threads, http }: Needs) => {
  http.get('/users/:userId/report', { schema: { params: ofUser } }, async (request) => {
    const rows = await db.query<{ title: string }>(
      'select title from todos where user_id = $1 order by id desc limit 2000',
      [request.params.userId],
    )
    return threads.run<Report>(
      TASK,
      rows.map((row) => row.title),
      { timeout: '10s' },
    )
  })
})
