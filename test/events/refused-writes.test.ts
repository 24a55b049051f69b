/** The database refuses what became of one event: the others have their ends all the same, and so has this one. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Postgres } from '../../src/components/postgres/index.ts'
import { event } from '../../src/events/index.ts'
import { anything, place, Seen, until } from './support.ts'

const Created = event('todo.created', anything<{ n: number }>())
const quick = { from: 'beginning', backoff: { base: 1, max: 5 } } as const
const REFUSED = /^SLUICE_QUERY: the error of a delivery could not be stored as it was: .* \(SQLSTATE 22/

/** What handlers say; on its way to the database it becomes what that cannot store. */
const MARK = 'unstorable'
const CALLS = new Set(['query', 'queryOne', 'execute'])

/** Of the API of a database and of its transactions. */
function spoiled<Api extends object>(api: Api): Api {
  return new Proxy(api, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name)
      if (typeof value !== 'function') return value
      const call = value.bind(target) as (...args: unknown[]) => unknown
      if (name === 'transaction') {
        return (run: (tx: object) => unknown, ...rest: unknown[]) =>
          call((tx: object) => run(spoiled(tx)), ...rest)
      }
      if (!CALLS.has(String(name))) return call
      return (sql: unknown, params: readonly unknown[] = [], ...rest: unknown[]) =>
        call(sql, params.map(spoil), ...rest)
    },
  })
}

const spoil = (value: unknown): unknown =>
  typeof value === 'string' ? value.replaceAll(MARK, String.raw`\u0000`) : value

const between = (db: Postgres): Postgres => spoiled(db)

const items = (count: number, keys = count): { data: { n: number }; key: string }[] =>
  Array.from({ length: count }, (_, n) => ({ data: { n }, key: `k${n % keys}` }))

for (const options of [{}, { ordered: 'key' }, { transaction: true }, { batch: 50 }] as const) {
  for (const attempts of [2, 6]) {
    const how = [...Object.keys(options), `${attempts} attempts`].join(', ')
    test(`an error that is refused ends its own event alone: ${how}`, async () => {
      await using here = await place()
      const peer = await here.peer({}, { between })
      const done = new Seen<number>()
      const times = new Map<number, number>()
      const one = (n: number, attempt: number): Error | undefined => {
        times.set(n, (times.get(n) ?? 0) + 1)
        if (n % 20 === 3) return new Error(attempt === attempts ? MARK : 'plain')
        if (n % 7 === 1 && attempt < attempts) return new Error('not yet')
        done.add(n)
        return undefined
      }
      if ('batch' in options) {
        peer.events.subscribe(
          Created,
          'reader',
          ({ events, fail }) => {
            for (const { id, data, attempt } of events) {
              const error = one(data.n, attempt)
              if (error !== undefined) fail(id, error)
            }
          },
          { ...quick, batch: options.batch, attempts },
        )
      } else {
        peer.events.subscribe(
          Created,
          'reader',
          ({ data, attempt }) => {
            const error = one(data.n, attempt)
            if (error !== undefined) throw error
          },
          { ...quick, ...options, attempts, concurrency: 4 },
        )
      }
      await peer.events.publishMany(Created, items(40, 20))
      const dead = await until(
        () => peer.events.deadLetters.list(),
        (list) => list.length >= 2,
      )
      assert.deepEqual(
        dead.map(({ data }) => (data as { n: number }).n).toSorted((a, b) => a - b),
        [3, 23],
      )
      for (const { why, attempt, errors } of dead) {
        assert.equal(attempt, attempts)
        assert.equal(errors.length, attempts)
        assert.match(why, REFUSED)
        assert.match(errors.at(-1)?.error ?? '', REFUSED)
      }
      await until(
        () => peer.events.lag(),
        ([lag]) => lag?.events === 0 && lag.retrying === 0,
      )
      assert.equal(new Set(done.all).size, 38)
      // None ran again because its end was not written; of a transaction or a batch that fails some do.
      if (!('transaction' in options)) assert.equal(done.all.length, 38)
      assert.equal(times.get(3), attempts)
    })
  }
}

test('a shard that stands in front of an event tells so though its error is refused, and so does the rest of the process', async () => {
  await using here = await place()
  const peer = await here.peer({ pollInterval: 100 }, { between })
  const fail = (): never => {
    throw new Error(MARK)
  }
  peer.events.subscribe(Created, 'reader', fail, { ...quick, onFail: 'stop' })
  const { id } = await peer.events.publish(Created, { n: 1 })
  const [stand] = await until(
    () => peer.events.waiting.standing(),
    (list) => list.length > 0,
  )
  assert.equal(stand?.eventId, id)
  assert.match(stand.error, REFUSED)
  await peer.events.subscribe(Created, 'other', () => {}, quick).ready()
  await until(
    () => peer.events.lag(),
    (lags) => lags.find(({ name }) => name === 'other')?.processes === 1,
  )
})
