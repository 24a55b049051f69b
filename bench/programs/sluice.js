// A service on two databases and a cache, none of which can be reached.
import { createApp } from '#dist/bundle/index.js'
import { postgres } from '#dist/bundle/postgres.js'
import { redis } from '#dist/bundle/redis.js'

const app = createApp({
  name: 'start',
  port: Number(process.env.PORT ?? 0),
  host: '127.0.0.1',
  components: {
    db: postgres({ dsn: 'postgres://app:app@127.0.0.1:1/app' }),
    reports: postgres({ dsn: 'postgres://app:app@127.0.0.1:2/app' }),
    cache: redis({ addr: '127.0.0.1:3' }),
  },
})
app.service('hello', ({ http }) => {
  http.get('/', () => ({ hello: 'world' }))
})
app.service('todos', ({ db, cache, http }) => {
  http.get('/todos', async () => ({ todos: await db.query('select 1'), cached: await cache.get('x') }))
})
await app.start()
console.log(JSON.stringify({ url: app.address.url }))
