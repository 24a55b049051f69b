/** Handlers in a transaction where it is the transaction that fails, and not the handler. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Postgres } from '../../src/components/postgres/index.ts'
import { event, type EventContext } from '../../src/events/index.ts'
import { anything, place, Seen, until, type Place } from './support.ts'

const Created = event('todo.created', anything<{ n: number }>())
const quick = { from: 'beginning', backoff: { base: 1, max: 5 }, transaction: true } as const

const ways = {
  'a statement that failed and was caught': {
    table: 'create table effects (n int primary key); insert into effects values (1)',
    handle: async ({ data, tx }: EventContext<{ n: number }>) => {
      await tx.execute('insert into effects values ($1)', [data.n]).then(undefined, () => {})
    },
    why: /went on after a statement of its transaction had failed/,
  },
  'a constraint that is looked at by the commit': {
    table: `create table effects (n int primary key deferrable initially deferred);
      insert into effects values (1)`,
    handle: async ({ data, tx }: EventContext<{ n: number }>) => {
      await tx.execute('insert into effects values ($1)', [data.n])
    },
    why: /duplicate key/,
  },
  'a commit that loses against other transactions': {
    table: `create table effects (n int);
      create function lose() returns trigger language plpgsql as
        $$ begin raise exception 'lost' using errcode = '40001'; end $$;
      create constraint trigger loses after insert on effects deferrable initially deferred
        for each row when (new.n = 1) execute function lose()`,
    handle: async ({ data, tx }: EventContext<{ n: number }>) => {
      await tx.execute('insert into effects values ($1)', [data.n])
    },
    why: /lost/,
  },
  'a handler that does not settle, where other transactions have less time,': {
    table: 'create table effects (n int)',
    handle: async ({ data, tx }: EventContext<{ n: number }>) => {
      if (data.n === 1) await new Promise(() => {})
      await tx.execute('insert into effects values ($1)', [data.n])
    },
    why: /^SLUICE_TIMEOUT: subscription "reader": the handler was not done after 200 ms$/,
    timeout: 200,
  },
}

interface Way {
  readonly table: string
  readonly handle: (each: EventContext<{ n: number }>) => Promise<void>
  readonly why: RegExp
  readonly timeout?: number
}

/** Deliveries that do not say how long they may take have 100 ms. */
function hurried(db: Postgres): Postgres {
  const transaction: Postgres['transaction'] = (fn, options) =>
    db.transaction(fn, options?.label === 'sluice.deliver' ? { timeout: 100, ...options } : options)
  return new Proxy(db, {
    get(target, name) {
      const value: unknown = name === 'transaction' ? transaction : Reflect.get(target, name)
      return typeof value === 'function' && name !== 'transaction' ? value.bind(target) : value
    },
  })
}

/** Of three events the first fails, whatever is done. */
async function deliver(
  here: Place,
  { table, handle, timeout }: Way,
  options: { readonly ordered?: 'key' },
): Promise<readonly string[]> {
  const peer = await here.peer({}, timeout === undefined ? {} : { between: hurried })
  await peer.db.script(table)
  const tried = new Seen<number>()
  peer.events.subscribe(
    Created,
    'reader',
    async (each) => {
      if (each.data.n === 1) tried.add(each.attempt)
      await handle(each)
    },
    { ...quick, ...options, attempts: 4, ...(timeout === undefined ? {} : { timeout }) },
  )
  await peer.events.publishMany(
    Created,
    [1, 2, 3].map((n) => ({ data: { n }, key: String(n) })),
  )
  await tried.atLeast(4)
  assert.deepEqual(tried.all, [1, 2, 3, 4])
  const [letter] = await until(
    () => peer.events.deadLetters.list(),
    (list) => list.length === 1,
  )
  await until(
    () => peer.db.query('select n from effects where n > 1'),
    (rows) => rows.length === 2,
  )
  assert.deepEqual(tried.all, [1, 2, 3, 4])
  return letter?.errors.map(({ error }) => error) ?? []
}

for (const [what, way] of Object.entries<Way>(ways)) {
  for (const ordered of [undefined, 'key'] as const) {
    const how = ordered === undefined ? '' : ', in the order of its key'
    test(`${what} fails the delivery${how}, and those behind it go on`, async () => {
      await using here = await place()
      const errors = await deliver(here, way, ordered === undefined ? {} : { ordered })
      assert.equal(errors.length, 4)
      for (const error of errors) assert.match(error, way.why)
    })
  }
}
