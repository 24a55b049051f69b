/** The guide lists every metric that an app exposes by itself. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { audit } from '../../src/audit/index.ts'
import { postgres } from '../../src/components/postgres/index.ts'
import { redis } from '../../src/components/redis/index.ts'
import { cron } from '../../src/cron/index.ts'
import { event, events } from '../../src/events/index.ts'
import { createApp, silentLogger } from '../../src/index.ts'
import { job, jobs } from '../../src/jobs/index.ts'
import { anything, until } from '../events/support.ts'
import { durableDatabase } from '../support/durable-database.ts'
import { parsePrometheus } from '../telemetry/prometheus-text.ts'

function assertListed(exposed: string): readonly string[] {
  const names = [...parsePrometheus(exposed).keys()]
  const guide = readFileSync(new URL('../../docs/guides/observability.md', import.meta.url), 'utf8')
  const missing = names.filter(
    (name) => !guide.includes(`\`${name}\``) && !/^sluice_(redis|postgres)_/.test(name),
  )
  assert.deepEqual(missing, [])
  return names
}

test('each metric of a running app is in the guide', async () => {
  const app = createApp({
    name: 'metrics',
    port: 0,
    host: '127.0.0.1',
    env: {},
    logger: silentLogger,
    components: { cache: redis() },
  })
  await app.start()
  try {
    await app.init.ready()
    await app.components.cache.get('key')
    await (await fetch(`${app.address.url}/livez`)).text()
    assert.ok(assertListed(app.metrics.expose()).length > 10)
  } finally {
    await app.stop()
  }
})

test('so is each of an app with all that lives in a database', async () => {
  await using database = await durableDatabase()
  const Mail = job('mail', anything<{ to: string }>())
  const Created = event('todo.created', anything<{ n: number }>())
  const app = createApp({
    name: 'metrics',
    port: 0,
    host: '127.0.0.1',
    env: {},
    logger: silentLogger,
    components: {
      db: postgres({ dsn: database.dsn }),
      work: jobs(),
      news: events(),
      clock: cron(),
      trail: audit(),
    },
  })
  const delivered = Promise.withResolvers<void>()
  const mailed = Promise.withResolvers<void>()
  app.service('all', ({ work, news, clock }) => {
    work.handle(Mail, () => mailed.resolve())
    news.subscribe(Created, 'reader', () => delivered.resolve(), { from: 'beginning' })
    clock.schedule('report', '@yearly', () => {})
  })
  await app.start()
  try {
    await app.init.ready()
    await app.components.work.enqueue(Mail, { to: 'ada' })
    await app.components.news.publish(Created, { n: 1 })
    await Promise.all([mailed.promise, delivered.promise])
    // The engine's are read in the background, a second after it is open.
    const seen = (name: string): boolean => app.metrics.expose().includes(`${name}{`)
    await until(
      () => Promise.resolve(seen('sluice_engine_workers') && seen('sluice_jobs_done_total')),
      (isThere) => isThere,
    )
    const names = assertListed(app.metrics.expose())
    for (const part of ['sluice_jobs_', 'sluice_events_', 'sluice_engine_'])
      assert.ok(
        names.some((name) => name.startsWith(part)),
        part,
      )
  } finally {
    await app.stop()
  }
})
