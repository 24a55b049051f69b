/** The todo service. `npm start` runs it: on a private PostgreSQL and in memory, or on POSTGRES_DSN and REDIS_ADDR. */
import { todoApp } from './app.ts'

const app = todoApp()

app.service('welcome', ({ db, cache, threads, jobs, events, audit, cron }) => ({
  start: () => {
    const { url } = app.address
    const used = [
      `db (${db.status()['server'] === 'embedded' ? 'embedded PostgreSQL' : 'PostgreSQL'})`,
      `cache (${cache.status()['backend'] === 'memory' ? 'in memory' : 'Redis'})`,
      ...[threads, jobs, events, audit, cron].map(({ name }) => name),
    ].join(', ')
    process.stdout.write(`
  todo is up on ${used}. Look at:

    curl ${url}/users/1/todos
    curl -X POST ${url}/users/1/todos -H 'content-type: application/json' -d '{"title":"try sluice"}'
    curl ${url}/users/1/report
    curl -X POST ${url}/users -H 'content-type: application/json' -d '{"email":"you@example.com","name":"You"}'
    curl ${url}/analytics
    curl ${url}/health
    ${url}/openapi.json   ${url}/metrics

  Stop it with Ctrl-C.

`)
  },
}))

await app.run()
