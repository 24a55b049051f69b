/**
 * An event that failed becomes a task, which another process may have done before the reader is known to be dead. Its
 * cursor then must not stand before the event.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { durableDatabase } from '../support/durable-database.ts'
import { durablePrograms, openDurable } from './support/durable.ts'
import { until } from './support/until.ts'

const options = { timeout: 60_000 }
const start = durablePrograms()

test(
  'a reader that is killed when an event has become a task: the event has one effect',
  options,
  async () => {
    await using own = await durableDatabase()
    await using heir = await openDurable(own.dsn, 'events', { pollInterval: '500ms', attempts: 2 })
    await heir.prepare()
    await using victim = start(own.dsn, 'events', { moment: 'events.parked', env: { ATTEMPTS: '2' } })
    assert.equal(await victim.exited, 'SIGKILL')
    // The task is anyone's at once; the shard is the dead one's for seconds more.
    await heir.work()
    await heir.handIn('last')
    const effects = await until(
      () => heir.db.query<{ id: string }>('select id from effects'),
      (rows) => rows.some(({ id }) => id === 'last'),
    )
    const orders = await heir.db.query<{ id: string }>('select id from orders')
    const tasks = await until(
      () => heir.db.query('select id from sluice.task'),
      ({ length }) => length === 0,
    )
    assert.equal(tasks.length, 0)
    const all = await heir.db.query<{ id: string }>('select id from effects')
    assert.ok(effects.length > 0)
    assert.deepEqual(all.map(({ id }) => id).toSorted(), orders.map(({ id }) => id).toSorted())
  },
)
