/** Notifications that are lost on their way, while the connection looks alive: the poll finds what they told of. */
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { databaseProxy } from '../support/database-proxy.ts'
import { durableDatabase } from '../support/durable-database.ts'
import { openDurable } from './support/durable.ts'

const options = { timeout: 60_000 }

const LIMIT_MS = 5_000
/** The first byte of a notification from the server. */
const NOTIFICATION = 'A'.charCodeAt(0)

suite('without a single hint', { concurrency: 3, ...options, timeout: 170_000 }, () => {
  for (const kind of ['jobs', 'keyed', 'events'] as const) {
    test(`${kind} of another process are begun within 5 seconds`, options, async (t) => {
      await using own = await durableDatabase()
      await using faulty = await databaseProxy(own.dsn)
      let lost = 0
      faulty.proxy.intercept((bytes) => {
        if (bytes[0] !== NOTIFICATION) return bytes
        lost += 1
        return undefined
      }, 'down')
      await using sender = await openDurable(own.dsn, kind)
      await sender.prepare()
      const begunAt = new Map<string, number>()
      const begun = new Map(['warm', 'one', 'two'].map((id) => [id, Promise.withResolvers<void>()]))
      await using worker = await openDurable(faulty.dsn, kind, {
        during(id) {
          begunAt.set(id, performance.now())
          begun.get(id)?.resolve()
        },
      })
      await worker.work()
      for (const id of begun.keys()) {
        await sender.handIn(id)
        const sentAt = performance.now()
        await begun.get(id)?.promise
        const ms = (begunAt.get(id) ?? Infinity) - sentAt
        t.diagnostic(`${id}: ${Math.round(ms)} ms`)
        // The first one finds the worker at its first look.
        assert.ok(ms <= LIMIT_MS, `${id}: after ${Math.round(ms)} ms`)
      }
      assert.ok(lost > 0, 'no hint was lost, so that nothing was tried')
    })
  }
})
