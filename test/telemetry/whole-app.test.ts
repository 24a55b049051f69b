/** What a whole app exposes after some traffic, read by Prometheus' own tool. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { test } from 'node:test'
import { postgres } from '../../src/components/postgres/index.ts'
import { redis } from '../../src/components/redis/index.ts'
import { threads } from '../../src/components/threads/index.ts'
import { createTestApp } from '../../src/testing/index.ts'
import { programMissing } from '../support/servers.ts'
import { parsePrometheus } from './prometheus-text.ts'

const TASK = new URL('../components/threads/tasks/good.ts', import.meta.url)
const skip = programMissing('promtool')

test('promtool accepts /metrics of an app with db, cache and threads after traffic', { skip }, async () => {
  const components = { db: postgres(), cache: redis(), threads: threads() }
  await using app = await createTestApp({
    name: 'metrics',
    components,
    configure: (made) =>
      made.service('work', ({ db, cache, threads: pool, http, background }) => {
        http.get('/work/:id', async () => {
          void background.run('count', () => cache.incr('count'))
          await cache.cached('answer', '1m', () => db.query('select 1 as one'))
          await pool.run(TASK, 1)
          return db.transaction((tx) => tx.query('select 2 as two'))
        })
        http.get('/fails', async () => db.query('select no such column'))
      }),
  })
  for (let id = 0; id < 5; id += 1) assert.equal((await app.fetch(`/work/${id}`)).status, 200)
  assert.equal((await app.fetch('/fails')).status, 500)
  assert.equal((await app.fetch('/none')).status, 404)
  await app.app.background.drain()
  const response = await app.fetch('/metrics')
  const body = await response.text()
  const { status, stdout, stderr } = spawnSync('promtool', ['check', 'metrics'], {
    input: body,
    encoding: 'utf8',
  })
  assert.equal(stdout + stderr, '')
  assert.equal(status, 0)
  const labels = [...parsePrometheus(body).values()].flatMap(({ samples }) =>
    samples.map((sample) => sample.labels['component']),
  )
  for (const name of Object.keys(components)) assert.ok(labels.includes(name), `nothing of ${name}`)
})
