/** Runs in a project that installed the packed package: what must meet itself across threads and processes. */
import { currentContext } from 'sluice'
import { redis } from 'sluice/redis'
import { createTestApp } from 'sluice/testing'
import { threads } from 'sluice/threads'

const TASK = new URL('./task.ts', import.meta.url)

await using test = await createTestApp({
  name: 'packed',
  components: { cache: redis(), threads: threads() },
  configure(app) {
    app.service('parts', ({ cache, threads: pool, http }) => {
      http.get('/parts', async () => {
        await cache.set('key', 'value')
        const bytes = await pool.run<Uint8Array>(TASK, 'bytes')
        return {
          cached: await cache.get('key'),
          here: currentContext()?.requestId,
          inThread: await pool.run(TASK, 'request'),
          inProcess: await pool.run(TASK, 'request', { isolated: true }),
          bytes: bytes.byteLength,
        }
      })
    })
  },
})
const reply = await test.fetch('/parts', { headers: { 'x-request-id': 'packed-77' } })
process.stdout.write(`${await reply.text()}\n`)
