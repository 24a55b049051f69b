/** An app that is only exported; it has a database and a section of its own. */
import { createApp } from 'sluice'
import { postgres } from 'sluice/postgres'
import { redis } from 'sluice/redis'
import { z } from 'zod'

console.log('noise on standard output')
export const app = createApp({
  name: 'exported',
  components: { db: postgres(), cache: redis({ dialTimeout: '2s' }) },
  settings: { billing: z.object({ apiKey: z.string().default('none'), rate: z.number().default(3) }) },
})
app.service('todos', ({ db, http }) => {
  http.get('/todos', () => db.query('select 1'))
})
