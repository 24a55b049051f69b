import assert from 'node:assert/strict'
import type { Transaction } from '../../../../src/components/postgres/api.ts'
import { event } from '../../../../src/events/index.ts'
import type { Stage } from './suite.ts'
import { anything, refused, refusedAtOnce, Seen, unique } from './support.ts'

export function transactions({ features, writer, reader, check }: Stage): void {
  if (features.transaction) {
    check('an event commits with the transaction, or not at all', async () => {
      const Made = event(unique('tx'), anything<string>())
      const seen = new Seen<string>()
      const subscription = reader().events.subscribe(Made, unique('tx'), ({ data }) => seen.add(data))
      await subscription.ready()
      const { events, db } = writer()
      const undo = new Error('undo')
      await assert.rejects(
        async () =>
          await db!.transaction(async (tx) => {
            await events.publish(Made, 'never', { tx })
            throw undo
          }),
        undo,
      )
      await db!.transaction((tx) => events.publish(Made, 'once', { tx }))
      await seen.atLeast(1)
      assert.deepEqual(seen.all, ['once'])
      await subscription.stop()
    })

    check(
      'what a handler does in its transaction is there once, though its first attempt failed',
      async () => {
        const Made = event(unique('effect'), anything<number>())
        const table = `effect_${unique('t').replaceAll('-', '_')}`
        const db = reader().db!
        await db.query(`create table ${table} (n int)`)
        const done = new Seen<number>()
        const subscription = reader().events.subscribe(
          Made,
          unique('effect'),
          async ({ data, tx, attempt }) => {
            await tx.execute(`insert into ${table} (n) values ($1)`, [data])
            if (attempt === 1) throw new Error('rolled back')
            tx.afterCommit(() => done.add(data))
          },
          { transaction: true, backoff: { base: 1, max: 1 } },
        )
        await subscription.ready()
        for (let n = 0; n < 5; n++) await writer().events.publish(Made, n)
        await done.atLeast(5)
        const rows = await db.query<{ n: number }>(`select n from ${table} order by n`)
        assert.deepEqual(
          rows.map(({ n }) => n),
          [0, 1, 2, 3, 4],
        )
        await subscription.stop()
      },
    )
  } else {
    check('transactions are refused at the call', async () => {
      const Made = event(unique('tx'), anything<string>())
      const tx = {} as Transaction
      await refused(() => writer().events.publish(Made, 'x', { tx }))
      await refused(() => writer().events.publishMany(Made, [{ data: 'x' }], { tx }))
      await refused(() => reader().events.once(tx, 'reader', '1'))
      refusedAtOnce(() =>
        reader().events.subscribe(Made, unique('tx'), () => undefined, { transaction: true }),
      )
    })
  }
}
