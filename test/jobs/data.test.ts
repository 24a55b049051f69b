import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type } from 'arktype'
import fc from 'fast-check'
import * as v from 'valibot'
import { z } from 'zod'
import { encode, MAX_DEPTH } from '../../src/jobs/encode.ts'
import { job, type Job } from '../../src/jobs/index.ts'
import { leakCheck } from '../../src/testing/leak-check.ts'
import { eventually, testJobs } from './support.ts'

leakCheck()

const Anything = job('anything', z.unknown())

function nested(depth: number): unknown {
  let value: unknown = 'inner'
  for (let i = 0; i < depth; i += 1) value = i % 2 === 0 ? [value] : { a: value }
  return value
}

test('whatever JSON can hold is read as it was written', () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 6, noUnicodeString: false, stringUnit: 'binary' }), (value) => {
      assert.deepEqual(JSON.parse(encode(value, 1_000_000, 'job').text), JSON.parse(JSON.stringify(value)))
    }),
  )
})

test('what JSON would change is refused, with its place', () => {
  const circle: Record<string, unknown> = {}
  circle['self'] = circle
  const cases: readonly [unknown, RegExp][] = [
    [undefined, /job "x": its data: undefined/],
    [{ a: [1, { b: 1n }] }, /job "x": a\.1\.b: a bigint/],
    [[1, undefined], /1: undefined/],
    // eslint-disable-next-line no-sparse-arrays -- a hole is what is tested
    [[1, , 3], /1: undefined/],
    [{ n: Number.NaN }, /n: NaN/],
    [{ n: Infinity }, /n: Infinity/],
    [{ f: () => {} }, /f: a function/],
    [{ s: Symbol('s') }, /s: a symbol/],
    [{ m: new Map() }, /m: a Map/],
    [{ b: new Uint8Array(1) }, /b: a Uint8Array/],
    [circle, new RegExp(`self\\.self.*…: more than ${MAX_DEPTH} levels, or a circle`)],
    [nested(10_000), new RegExp(`more than ${MAX_DEPTH} levels`)],
  ]
  for (const [value, message] of cases) {
    assert.throws(() => encode(value, 1_000_000, 'job "x"'), { code: 'SLUICE_INVALID_DATA', message })
  }
})

test('data above the limit is refused with its size, in bytes and not in characters', () => {
  assert.equal(encode('é'.repeat(49), 100, 'job').text.length, 51)
  assert.throws(() => encode('é'.repeat(50), 100, 'job "x"'), {
    code: 'SLUICE_TOO_LARGE',
    message: 'job "x": 102 bytes as JSON, and 100 are allowed',
  })
})

test('a getter that throws is told as data that cannot be written', () => {
  const hostile = {
    get a(): string {
      throw new Error('no')
    },
  }
  assert.throws(() => encode(hostile, 100, 'job'))
})

test('odd texts and keys come back from the database as they were', async () => {
  await using it = await testJobs()
  const odd = [
    'NUL \0 inside',
    'half \ud800 a pair',
    '\u{1f600} and "quotes" \\ and \n',
    JSON.parse('{"__proto__": {"polluted": true}, "": 1}') as unknown,
    nested(MAX_DEPTH - 2),
    -1.5e-300,
    Number.MAX_SAFE_INTEGER,
    '',
    [],
    {},
    null,
    false,
  ]
  const seen: unknown[] = []
  const all = Promise.withResolvers<void>()
  it.jobs.handle(
    Anything,
    ({ data }) => {
      seen.push(data)
      if (seen.length === odd.length) all.resolve()
    },
    { concurrency: 1 },
  )
  await it.jobs.enqueueMany(
    Anything,
    odd.map((data) => ({ data })),
  )
  await all.promise
  assert.deepEqual(seen, odd)
  assert.equal('polluted' in {}, false)
})

test('random payloads come back from the database as they were', async () => {
  await using it = await testJobs()
  const seen = new Map<number, unknown>()
  let expected = 0
  let all = Promise.withResolvers<void>()
  const Numbered = job('numbered', z.object({ n: z.number(), value: z.unknown() }))
  it.jobs.handle(Numbered, ({ data }) => {
    seen.set(data.n, data.value)
    if (seen.size === expected) all.resolve()
  })
  const values = fc.array(fc.jsonValue({ maxDepth: 4, stringUnit: 'binary' }), {
    minLength: 1,
    maxLength: 20,
  })
  await fc.assert(
    fc.asyncProperty(values, async (list) => {
      seen.clear()
      expected = list.length
      all = Promise.withResolvers()
      await it.jobs.enqueueMany(
        Numbered,
        list.map((value, n) => ({ data: { n, value } })),
      )
      await all.promise
      for (const [n, value] of list.entries()) {
        assert.deepEqual(seen.get(n), JSON.parse(JSON.stringify(value)))
      }
    }),
    { numRuns: 20 },
  )
})

test('input is stored, and output handed to the handler: a transform is applied once', async () => {
  await using it = await testJobs()
  const Twice = job('twice', z.object({ n: z.number().transform((n) => n * 2), at: z.coerce.date() }))
  const ran = Promise.withResolvers<{ n: number; at: Date }>()
  const { id } = await it.jobs.enqueue(Twice, { n: 21, at: new Date(0) }, { delay: '1h' })
  assert.deepEqual((await it.jobs.get(id))?.data, { n: 21, at: '1970-01-01T00:00:00.000Z' })
  await it.jobs.cancel(id)
  it.jobs.handle(Twice, ({ data }) => ran.resolve(data))
  await it.jobs.enqueue(Twice, { n: 21, at: new Date(0) })
  assert.deepEqual(await ran.promise, { n: 42, at: new Date(0) })
})

test('a Date for a schema that takes no text is refused where it is enqueued', async () => {
  await using it = await testJobs()
  const Dated = job('dated', z.object({ at: z.date() }))
  await assert.rejects(it.jobs.enqueue(Dated, { at: new Date() }), {
    code: 'SLUICE_INVALID_DATA',
    message: /job "dated": at: /,
  })
})

const libraries: readonly [string, Job<{ to: string }>][] = [
  ['zod', job('mail', z.object({ to: z.string().min(3) }))],
  ['valibot', job('mail', v.object({ to: v.pipe(v.string(), v.minLength(3)) }))],
  ['arktype', job('mail', type({ to: 'string >= 3' }))],
]
for (const [library, Mail] of libraries) {
  test(`a schema of ${library} is checked at both ends`, async () => {
    await using it = await testJobs()
    await assert.rejects(it.jobs.enqueue(Mail, { to: 'x' }), {
      code: 'SLUICE_INVALID_DATA',
      message: /job "mail": to: /,
    })
    const to = Promise.withResolvers<string>()
    it.jobs.handle(Mail, ({ data }) => to.resolve(data.to))
    await it.jobs.enqueue(Mail, { to: 'ada@example.com' })
    assert.equal(await to.promise, 'ada@example.com')
  })
}

test('a schema that checks asynchronously is waited for at both ends', async () => {
  await using it = await testJobs()
  const Async = job(
    'async',
    z.string().refine(async (text) => Promise.resolve(text !== 'bad')),
    { attempts: 1 },
  )
  await assert.rejects(it.jobs.enqueue(Async, 'bad'), { code: 'SLUICE_INVALID_DATA' })
  const { id } = await it.jobs.enqueue(Async, 'good')
  await it.db.execute(`update sluice.task set body = '"bad"'`)
  it.jobs.handle(Async, () => {})
  const dead = await eventually(() => it.jobs.deadLetters.get(id))
  assert.match(dead.why, /^SLUICE_INVALID_DATA/)
})

test('wrong options are refused with what they should be', async () => {
  await using it = await testJobs()
  const Greet = job('greet', z.object({}))
  const wrong: readonly [object, RegExp][] = [
    [{ priority: 10 }, /priority: expected a whole number from 0 to 9, got 10/],
    [{ delay: -1 }, /delay: expected milliseconds/],
    [{ runAt: new Date(Number.NaN) }, /runAt: expected a Date/],
    [{ runAt: new Date(), delay: 1 }, /runAt: expected no delay beside it/],
    [{ key: '' }, /key: expected a text of 1 to 200/],
    [{ group: 'x'.repeat(201) }, /group: expected a text/],
    [{ prio: 1 }, /there is no option "prio"/],
  ]
  for (const [options, message] of wrong) {
    await assert.rejects(it.jobs.enqueue(Greet, {}, options), { code: 'SLUICE_INVALID_ARGUMENT', message })
  }
  assert.deepEqual(await it.jobs.enqueueMany(Greet, []), [])
})
