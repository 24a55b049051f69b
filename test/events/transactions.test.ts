/** Handlers in a transaction where it is the transaction that fails, and not the handler. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { event, type EventContext } from '../../src/events/index.ts'
import { anything, place, Seen, skip, until, type Place } from './support.ts'

const Created = event('todo.created', anything<{ n: number }>())
const quick = { from: 'beginning', backoff: { base: 1, max: 5 }, transaction: true } as const

const ways = {
  'a statement that failed and was caught': {
    table: 'create table effects (n int primary key)',
    handle: async ({ data, tx }: EventContext<{ n: number }>) => {
      await tx.execute('insert into effects values ($1)', [data.n]).then(undefined, () => {})
    },
    why: /went on after a statement of its transaction had failed/,
  },
  'a constraint that is looked at by the commit': {
    table: 'create table effects (n int primary key deferrable initially deferred)',
    handle: async ({ data, tx }: EventContext<{ n: number }>) => {
      await tx.execute('insert into effects values ($1)', [data.n])
    },
    why: /duplicate key/,
  },
}

/** Of three events the first fails, whatever is done. */
async function deliver(
  here: Place,
  { table, handle }: (typeof ways)[keyof typeof ways],
  options: { readonly ordered?: 'key' },
): Promise<readonly { readonly why: string; readonly attempts: readonly number[] }[]> {
  const peer = await here.peer()
  await peer.db.query(table)
  await peer.db.query('insert into effects values (1)')
  const tried = new Seen<number>()
  peer.events.subscribe(
    Created,
    'reader',
    async (each) => {
      if (each.data.n === 1) tried.add(each.attempt)
      await handle(each)
    },
    { ...quick, ...options, attempts: 4 },
  )
  await peer.events.publishMany(
    Created,
    [1, 2, 3].map((n) => ({ data: { n }, key: String(n) })),
  )
  await tried.atLeast(4)
  assert.deepEqual(tried.all, [1, 2, 3, 4])
  const letters = await until(
    () => peer.events.deadLetters.list(),
    (list) => list.length === 1,
  )
  await until(
    () => peer.db.query('select n from effects'),
    (rows) => rows.length === 3,
  )
  return letters.map(({ why, errors }) => ({ why, attempts: errors.map(({ attempt }) => attempt) }))
}

for (const [what, way] of Object.entries(ways)) {
  for (const ordered of [undefined, 'key'] as const) {
    const how = ordered === undefined ? '' : ', in the order of its key'
    test(`${what} fails the delivery${how}, and those behind it go on`, { skip }, async () => {
      await using here = await place()
      const [letter] = await deliver(here, way, ordered === undefined ? {} : { ordered })
      assert.match(letter?.why ?? '', way.why)
      assert.deepEqual(letter?.attempts, [1, 2, 3, 4])
    })
  }
}
