// A service with a database and a cache and no server anywhere: PostgreSQL embedded, the cache in memory.
import { createApp } from '#dist/bundle/index.js'
import { postgres } from '#dist/bundle/postgres.js'
import { redis } from '#dist/bundle/redis.js'

const app = createApp({
  name: 'service',
  port: 0,
  host: '127.0.0.1',
  components: { db: postgres(), cache: redis() },
})
app.service('todos', ({ db, cache, http }) => {
  http.get('/', async () => ({ rows: await db.query('select 1 as n'), cached: await cache.get('x') }))
})
await app.run()
