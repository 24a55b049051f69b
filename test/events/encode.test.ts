/** What may be published, and what is refused before the database sees it. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { z } from 'zod'
import { decodeData } from '../../src/events/decode.ts'
import { encodeEvent } from '../../src/events/encode.ts'
import { event } from '../../src/events/index.ts'
import { topicMatcher } from '../../src/events/pattern.ts'
import { anything } from './support.ts'

const Anything = event('any', anything<unknown>())
const MAX = 1_000

const encode = (data: unknown, options: object = {}) => encodeEvent(Anything, { ...options, data }, MAX)

test('data that JSON does not know is refused, and names the event', () => {
  const circle: Record<string, unknown> = {}
  circle['self'] = circle
  for (const data of [undefined, () => 1, 10n, circle, Symbol('s')]) {
    assert.throws(() => encode(data), { code: 'SLUICE_INVALID_DATA', message: /event "any"/ })
  }
})

test('data that JSON would change is refused when it is published, with its place, and not when it is read', () => {
  const cases: readonly [unknown, RegExp][] = [
    [{ n: Number.NaN }, /^event "any": n: NaN, which JSON cannot hold$/],
    [{ list: [1, undefined] }, /list\.1: undefined/],
    [{ a: [{ m: new Map() }] }, /a\.0\.m: a Map/],
    [{ f: () => 1 }, /f: a function/],
    [{ s: Symbol('s') }, /s: a symbol/],
    [{ toJSON: () => undefined }, /its data: undefined/],
    [
      {
        get broken(): unknown {
          throw new Error('no such field')
        },
      },
      /its data cannot be written as JSON/,
    ],
  ]
  for (const [data, message] of cases) {
    assert.throws(() => encode(data), { code: 'SLUICE_INVALID_DATA', message })
  }
  const encoded = encode({ gone: undefined, here: 1 })
  assert.ok(!(encoded instanceof Promise))
  assert.equal(encoded.body, '{"here":1}')
})

test('what JSON makes of a Date has to fit the schema as well, which is what readers will ask', async () => {
  const at = new Date(0)
  const isDate = z.object({ at: z.date() })
  assert.throws(() => encodeEvent(event('a', isDate), { data: { at } }, MAX), {
    code: 'SLUICE_INVALID_DATA',
    message: /^event "a": at: .*date/,
  })
  const later = isDate.refine(() => Promise.resolve(true))
  await assert.rejects(async () => encodeEvent(event('a', later), { data: { at } }, MAX), {
    code: 'SLUICE_INVALID_DATA',
  })
  const coerced = event('a', z.object({ at: z.coerce.date<string | Date>() }))
  const encoded = encodeEvent(coerced, { data: { at } }, MAX)
  assert.ok(!(encoded instanceof Promise))
  assert.deepEqual(decodeData('a', 1, encoded.body, coerced), { at })
})

test('a schema that refuses later leaves nothing unhandled where the data is refused at once', async () => {
  const unhandled = new Set<unknown>()
  const keep = (reason: unknown): unknown => unhandled.add(reason)
  process.on('unhandledRejection', keep)
  const validate = (): Promise<never> => Promise.reject(new Error('too late'))
  const never = event('a', { '~standard': { version: 1, vendor: 'test', validate } })
  assert.throws(() => encodeEvent(never, { data: { n: Number.NaN } }, MAX), { code: 'SLUICE_INVALID_DATA' })
  await new Promise(setImmediate)
  process.off('unhandledRejection', keep)
  assert.deepEqual([...unhandled], [])
})

test('data at the limit is taken, and a byte more is refused with both numbers', () => {
  const fits = 'x'.repeat(MAX - 2)
  const encoded = encode(fits)
  assert.ok(!(encoded instanceof Promise))
  assert.equal(encoded.body.length, MAX)
  assert.throws(() => encode(`${fits}x`), { code: 'SLUICE_TOO_LARGE', message: /1001 bytes.*1000/ })
  // Bytes count, not characters.
  assert.throws(() => encode('ü'.repeat(500)), { code: 'SLUICE_TOO_LARGE' })
})

test('what cannot be stored beside the data is refused', () => {
  const wrong = [
    { key: '' },
    { key: 'a\0b' },
    { key: '\ud800' },
    { key: 'x'.repeat(201) },
    { headers: { a: 'b\0' } },
    { headers: Object.fromEntries(Array.from({ length: 51 }, (_, n) => [`h${n}`, ''])) },
    { headers: { a: 'x'.repeat(8_001) } },
    { priority: 10 },
    { priority: 1.5 },
    { delay: -1 },
    { delay: '200000000d' },
    { delay: Number.MAX_SAFE_INTEGER },
  ]
  for (const options of wrong) {
    assert.throws(() => encode({}, options), { code: 'SLUICE_INVALID_ARGUMENT' }, JSON.stringify(options))
  }
})

test('what is taken comes back as it was, odd keys and characters included', () => {
  const odd = JSON.parse(
    '{"__proto__":{"x":1},"constructor":2,"n":"\\u0000\\ud800\\u2028","deep":[[[[1]]]]}',
  ) as unknown
  const encoded = encode(odd)
  assert.ok(!(encoded instanceof Promise))
  assert.deepEqual(decodeData('any', 1, encoded.body, undefined), odd)
  assert.equal(({} as { x?: number }).x, undefined)
})

test('an event without the step from an older version is checked by the schema as it is', () => {
  const V3 = event('any', anything<{ n: number }>(), {
    version: 3,
    upcast: { 2: (old: object) => ({ ...old, n: 3 }) },
  })
  assert.deepEqual(decodeData('any', 1, '{"a":1}', V3), { a: 1, n: 3 })
  assert.deepEqual(decodeData('any', 3, '{"a":1}', V3), { a: 1 })
  assert.throws(() => decodeData('any', 4, '{}', V3), {
    code: 'SLUICE_INVALID_DATA',
    message: /newer than this program/,
  })
  assert.throws(() => decodeData('any', 3, 'no json', V3), { code: 'SLUICE_INVALID_DATA' })
  const Broken = event('any', anything<object>(), {
    version: 2,
    upcast: {
      1: () => {
        throw new Error('upcast')
      },
    },
  })
  assert.throws(() => decodeData('any', 1, '{}', Broken), {
    code: 'SLUICE_INVALID_DATA',
    message: /upcast of version 1/,
  })
})

test('a name, a version or an upcast that is wrong is refused when the event is named', () => {
  for (const topic of ['', 'a..b', 'a.', '*', 'a b', 'x'.repeat(201)]) {
    assert.throws(() => event(topic, anything()), { code: 'SLUICE_INVALID_ARGUMENT' }, topic)
  }
  assert.throws(() => event('a', anything(), { version: 0 }), { code: 'SLUICE_INVALID_ARGUMENT' })
  assert.throws(() => event('a', anything(), { upcast: { 1: () => ({}) } }), {
    code: 'SLUICE_INVALID_ARGUMENT',
  })
})

test('* stands for one word and # for any number of them', () => {
  const table: readonly (readonly [pattern: string, yes: readonly string[], no: readonly string[]])[] = [
    ['a.b', ['a.b'], ['a', 'a.b.c', 'ab']],
    ['a.*', ['a.b', 'a.c'], ['a', 'a.b.c', 'b.a']],
    ['*.b', ['a.b'], ['b', 'a.a.b']],
    ['#', ['a', 'a.b', 'a.b.c'], []],
    ['a.#', ['a', 'a.b', 'a.b.c'], ['b', 'b.a']],
    ['#.c', ['c', 'b.c', 'a.b.c'], ['c.d']],
    ['a.#.c', ['a.c', 'a.b.c', 'a.b.b.c'], ['a', 'a.b', 'c']],
    ['#.*.#', ['a', 'a.b'], []],
    ['#.#.#.#.a', ['a', 'b.a', 'b.b.b.a'], ['b']],
  ]
  for (const [pattern, yes, no] of table) {
    const matches = topicMatcher([pattern])
    for (const topic of yes) assert.equal(matches(topic), true, `${pattern} matches ${topic}`)
    for (const topic of no) assert.equal(matches(topic), false, `${pattern} does not match ${topic}`)
  }
  for (const wrong of ['', 'a..b', 'a.**', 'a#']) {
    assert.throws(() => topicMatcher([wrong]), { code: 'SLUICE_INVALID_ARGUMENT' }, wrong)
  }
})
