/**
 * Durable work through PgBouncer in transaction mode: no session belongs to anyone, so there are no notifications, no
 * lock that says that a process lives, and no prepared statements (before its version 1.21).
 */
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { ownDatabase } from '../support/own-database.ts'
import { programMissing, serverAt } from '../support/servers.ts'
import { durablePrograms, openDurable, ORDERS, type Kind } from './support/durable.ts'
import { startPgBouncer } from './support/pgbouncer.ts'
import { until } from './support/until.ts'

const server = await serverAt('postgres')
const options = { skip: server.skip === false ? programMissing('pgbouncer') : server.skip, timeout: 60_000 }
const start = durablePrograms()
const POLLED_MS = 5_000
/** Without the lock a killed process is like a frozen one. */
const KILLED_MS = 15_000

suite('through PgBouncer in transaction mode', { concurrency: 4, ...options, timeout: 170_000 }, () => {
  for (const kind of ['jobs', 'keyed', 'events', 'cron'] as const satisfies readonly Kind[]) {
    test(`${kind} are done, each once, without a hint from anyone`, options, async (t) => {
      await using own = await ownDatabase(server.url)
      await using pooler = await startPgBouncer(server.url)
      const dsn = pooler.dsn(own.dsn)
      await using sender = await openDurable(own.dsn, kind)
      await sender.prepare()
      let begunAt = 0
      let begun = Promise.withResolvers<void>()
      await using worker = await openDurable(dsn, kind, {
        pooled: true,
        during() {
          begunAt = performance.now()
          begun.resolve()
        },
      })
      await worker.work()
      // A run by hand needs a schedule that is known.
      if (kind === 'cron') await sender.work()
      for (const id of ORDERS) {
        begun = Promise.withResolvers()
        await (kind === 'cron' ? worker : sender).handIn(id)
        const sentAt = performance.now()
        if (kind === 'cron') continue
        await begun.promise
        const ms = begunAt - sentAt
        t.diagnostic(`${id}: ${Math.round(ms)} ms`)
        assert.ok(ms <= POLLED_MS, `${id}: after ${Math.round(ms)} ms`)
      }
      const effects = await until(
        () => sender.db.query<{ id: string }>('select id from effects'),
        ({ length }) => length >= ORDERS.length,
      )
      assert.equal(new Set(effects.map(({ id }) => id)).size, ORDERS.length)
      assert.equal(effects.length, ORDERS.length)
    })
  }

  test('a killed process leaves its job to another within 15 seconds', options, async (t) => {
    await using own = await ownDatabase(server.url)
    await using pooler = await startPgBouncer(server.url)
    const dsn = pooler.dsn(own.dsn)
    let begunAt = 0
    await using heir = await openDurable(dsn, 'jobs', {
      pooled: true,
      during(id) {
        if (id === 'one') begunAt = performance.now()
      },
    })
    await heir.prepare()
    await using victim = start(dsn, 'jobs', { env: { POOLED: '1' } })
    await victim.said('begun')
    await victim.said('ready')
    await heir.work()
    victim.child.kill('SIGKILL')
    const killedAt = performance.now()
    await until(
      () => heir.db.query('select id from effects'),
      ({ length }) => length === ORDERS.length,
    )
    const ms = begunAt - killedAt
    t.diagnostic(`begun again after ${Math.round(ms)} ms`)
    assert.ok(ms <= KILLED_MS, `after ${Math.round(ms)} ms`)
  })
})
