/**
 * The tables vanish under a process that runs: it says so, stays, and goes on when they are back; it does nothing with
 * others that were made in their place.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { z } from 'zod'
import { postgres } from '../../src/components/postgres/index.ts'
import { cron } from '../../src/cron/index.ts'
import { audit } from '../../src/audit/index.ts'
import { migrateEngine } from '../../src/engine/migrate.ts'
import { event, events } from '../../src/events/index.ts'
import { job, jobs } from '../../src/jobs/index.ts'
import { connectComponent } from '../../src/testing/connect-component.ts'
import { leakCheck } from '../../src/testing/leak-check.ts'
import { listeningLogger } from '../cron/cluster-support.ts'
import { eventually } from '../support/eventually.ts'
import { durableDatabase } from '../support/durable-database.ts'

leakCheck()

const Count = job('count', z.object({ n: z.number() }))
const Counted = event('counted', z.object({ n: z.number() }))

/** An app's components on a database of their own, with all that they did. */
async function open() {
  const stack = new AsyncDisposableStack()
  const { dsn } = stack.use(await durableDatabase())
  const warned: string[] = []
  const log = listeningLogger('warn', (text, { err }: { err?: Error }) =>
    warned.push(`${text} ${err?.message}`),
  )
  const db = stack.use(await connectComponent(postgres({ dsn, maxOpenConns: 8 }), { name: 'db', log }))
  const options = { required: { postgres: db.api }, log }
  const work = stack.use(await connectComponent(jobs({ pollInterval: 100 }), options))
  const news = stack.use(await connectComponent(events({ pollInterval: 100 }), options))
  const clock = stack.use(await connectComponent(cron({ pollInterval: '1s' }), options))
  const records = stack.use(await connectComponent(audit(), options))
  const done: string[] = []
  work.api.handle(Count, ({ data }) => done.push(`job ${data.n}`))
  news.api.subscribe(Counted, 'reader', ({ data }) => done.push(`event ${data.n}`), { from: 'beginning' })
  clock.api.schedule('tick', '0 0 1 1 *', () => done.push('run'))
  return { stack, db: db.api, work, news, clock, records, done, warned }
}

const said = (check: Promise<void>): Promise<string | undefined> =>
  check.then(
    () => undefined,
    (error: Error & { code?: string }) => `${error.code}: ${error.message}`,
  )

test('where the tables are gone, each component says so, and all goes on when they are back', async () => {
  const { stack, db, work, news, clock, records, done, warned } = await open()
  await using _ = stack
  await work.api.enqueue(Count, { n: 1 })
  await news.api.publish(Counted, { n: 1 })
  await eventually(async () => (done.length >= 2 ? true : undefined))
  await db.execute('alter schema sluice rename to away')
  for (const component of [work, news, clock, records]) {
    assert.match(
      (await said(component.check())) ?? '',
      /^SLUICE_UNAVAILABLE: db: the tables of sluice are gone/,
    )
  }
  await assert.rejects(work.api.enqueue(Count, { n: 2 }), { code: 'SLUICE_QUERY' })
  await assert.rejects(news.api.publish(Counted, { n: 2 }), { code: 'SLUICE_QUERY' })
  await assert.rejects(clock.api.runNow('tick'), { code: 'SLUICE_QUERY' })
  // What looks by itself says why it finds nothing.
  await eventually(async () =>
    warned.some((line) => /"?sluice\.\w+"? does not exist/.test(line)) ? true : undefined,
  )
  await db.execute('alter schema away rename to sluice')
  for (const component of [work, news, clock, records])
    await eventually(async () => (await said(component.check())) === undefined || undefined)
  await work.api.enqueue(Count, { n: 3 })
  await news.api.publish(Counted, { n: 3 })
  await clock.api.runNow('tick')
  await eventually(async () => (done.length >= 5 ? true : undefined))
  assert.deepEqual(done.toSorted(), ['event 1', 'event 3', 'job 1', 'job 3', 'run'])
})

test('with tables that were made anew a process does nothing, and says that it wants a restart', async () => {
  const { stack, db, work, news, done } = await open()
  await using _ = stack
  await work.api.enqueue(Count, { n: 1 })
  await news.api.publish(Counted, { n: 1 })
  await eventually(async () => (done.length >= 2 ? true : undefined))
  await db.execute('drop schema sluice cascade')
  await migrateEngine(db)
  // Of an app that began with these: its queue has the number that this process knows by another name.
  await db.execute(`insert into sluice.queue (name) select 'q' || n from generate_series(1, 5) n`)
  await db.execute(`insert into sluice.task (queue, body) select id, '{"n":666}' from sluice.queue`)
  const anew = /^SLUICE_CONFLICT: db: the tables of sluice were made anew since this process began/
  assert.match((await said(work.check())) ?? '', anew)
  assert.match((await said(news.check())) ?? '', anew)
  await assert.rejects(work.api.enqueue(Count, { n: 2 }), { code: 'SLUICE_CONFLICT' })
  await assert.rejects(news.api.publish(Counted, { n: 2 }), { code: 'SLUICE_CONFLICT' })
  await eventually(async () => (work.component.inspect()['heartbeatMsAgo'] as number) > 3_000 || undefined)
  assert.deepEqual(await db.queryOne('select count(*)::int as count from sluice.task where owner is null'), {
    count: 5,
  })
  assert.deepEqual(await db.queryOne('select count(*)::int as count from sluice.worker'), { count: 0 })
  assert.deepEqual(done.toSorted(), ['event 1', 'job 1'])
})
