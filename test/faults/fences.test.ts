/**
 * An owner that does not know yet that its work was given to another: what its handler did in the transaction is undone,
 * because the end, or the cursor, is not its any more.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { durableDatabase } from '../support/durable-database.ts'
import { openDurable, ORDERS, type Kind } from './support/durable.ts'
import { until } from './support/until.ts'

const options = { timeout: 60_000 }

/** Gives what is under way to a worker that was never there, as if it had taken it over. */
const TAKEN: Readonly<Partial<Record<Kind, string>>> = {
  jobs: `with l as (delete from sluice.lot returning ids)
    update sluice.task set owner = $1, attempt = attempt + 1
    where owner is not null or id in (select unnest(ids) from l)`,
  keyed: `update sluice.task set owner = $1, attempt = attempt + 1 where owner is not null`,
  events: `update sluice.lease set owner = $1, epoch = epoch + 1 where kind = 's'`,
}

for (const [kind, taken] of Object.entries(TAKEN) as [Kind, string][]) {
  test(`${kind}: a transaction of an owner that was replaced meanwhile is undone`, options, async () => {
    await using own = await durableDatabase()
    const begun: string[] = []
    const started = Promise.withResolvers<void>()
    const goOn = Promise.withResolvers<void>()
    await using owner = await openDurable(own.dsn, kind, {
      pollInterval: '500ms',
      async during(id) {
        begun.push(id)
        started.resolve()
        if (begun.length === 1) await goOn.promise
      },
    })
    await owner.prepare()
    await owner.handIn('one')
    await owner.work()
    await started.promise
    const [other] = await owner.db.query<{ id: string }>(
      `insert into sluice.worker (name, info, beat) values ('other', '{}', clock_timestamp() + interval '1 hour') returning id`,
    )
    await owner.db.execute(taken, [other?.id])
    goOn.resolve()
    // The other dies without having done anything: the owner of before may have it again.
    await owner.db.execute(
      `update sluice.worker set dead_at = clock_timestamp() - interval '1 minute' where id = $1`,
      [other?.id],
    )
    for (const id of ORDERS.slice(1)) await owner.handIn(id)
    const effects = await until(
      () => owner.db.query<{ id: string }>('select id from effects'),
      ({ length }) => length >= ORDERS.length,
    )
    assert.deepEqual(effects.map(({ id }) => id).toSorted(), ORDERS.toSorted())
    assert.equal(begun.filter((id) => id === 'one').length, 2, 'what the owner of before did was not undone')
  })
}
