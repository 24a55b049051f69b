/** A typing mistake in an option is refused, with where it is and what was probably meant. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { event, type Events } from '../../src/events/index.ts'
import { anything, place } from './support.ts'

const A = event('a.made', anything<{ n: number }>())

interface Mistake {
  readonly what: string
  readonly call: (events: Events) => unknown
  readonly message: RegExp
  readonly hint: RegExp
}

const mistakes: readonly Mistake[] = [
  {
    what: 'publish',
    call: (events) => events.publish(A, { n: 1 }, { dealy: '5s' } as object),
    message: /event "a\.made": options: there is no option "dealy"/,
    hint: /"delay"/,
  },
  {
    what: 'an item of publishMany',
    call: (events) => events.publishMany(A, [{ data: { n: 1 } }, { data: { n: 2 }, kee: 'k' } as never]),
    message: /publishMany: items\[1\]: there is no option "kee"/,
    hint: /"key"/,
  },
  {
    what: 'publishMany',
    call: (events) => events.publishMany(A, [{ data: { n: 1 } }], { delay: '5s' } as object),
    message: /publishMany: options: there is no option "delay"/,
    hint: /tx, signal/,
  },
  {
    what: 'a transaction that is none',
    call: (events) => events.publish(A, { n: 1 }, { tx: {} } as object),
    message: /publish: tx: expected a transaction, got something else/,
    hint: /db\.transaction/,
  },
  {
    what: 'subscribe',
    call: (events) => events.subscribe(A, 'reader', () => {}, { form: 'beginning' } as object),
    message: /subscription "reader": options: there is no option "form"/,
    hint: /"from"/,
  },
  {
    what: 'the back-off of subscribe',
    call: (events) => events.subscribe(A, 'reader', () => {}, { backoff: { cap: '1s' } as object }),
    message: /subscription "reader": backoff: there is no option "cap"/,
    hint: /base, max|"max"/,
  },
  {
    what: 'replay',
    call: (events) => events.replay('reader', { from: 'beginning', reate: 5 } as never),
    message: /events\.replay: there is no option "reate"/,
    hint: /"rate"/,
  },
  {
    what: 'event',
    call: () => event('b.made', anything<object>(), { vresion: 2 } as object),
    message: /event "b\.made": options: there is no option "vresion"/,
    hint: /"version"/,
  },
  {
    what: 'deadLetters.list',
    call: (events) => events.deadLetters.list({ subscripton: 'reader' } as object),
    message: /deadLetters\.list: there is no option "subscripton"/,
    hint: /"subscription"/,
  },
  {
    what: 'deadLetters.redrive',
    call: (events) => events.deadLetters.redrive({ canaries: 2 } as object),
    message: /deadLetters\.redrive: there is no option "canaries"/,
    hint: /"canary"|canary/,
  },
  {
    what: 'deadLetters.drop',
    call: (events) => events.deadLetters.drop({ subscripton: 'reader' } as object),
    message: /deadLetters\.drop: there is no option "subscripton"/,
    hint: /"subscription"/,
  },
  {
    what: 'deadLetters.drop without a filter',
    call: (events) => events.deadLetters.drop({}),
    message: /expected subscription, ids or before/,
    hint: /before: new Date\(\)/,
  },
]

test('options that are not known are refused, and nothing is published', async (t) => {
  await using here = await place()
  const { db, events } = await here.peer()
  for (const { what, call, message, hint } of mistakes) {
    await t.test(what, async () => {
      const error: unknown = await (async () => call(events))().then(() => undefined, (thrown: unknown) => thrown) // prettier-ignore
      assert.ok(error instanceof Error)
      assert.equal((error as { code?: string }).code, 'SLUICE_INVALID_ARGUMENT')
      assert.match(error.message, message)
      assert.match((error as { hint?: string }).hint ?? '', hint)
    })
  }
  assert.deepEqual(await db.queryOne('select count(*)::int as n from sluice.event'), { n: 0 })
})
