/** Whatever is thrown has a text that the database takes. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { SluiceError } from '../../src/core/errors.ts'
import { errorText } from '../../src/engine/error-text.ts'

const hostile = Object.assign(new Error('x'), { message: Symbol('no text') as unknown as string })
const worse = Object.assign(new Error('x'), { message: Object.create(null) as string, name: 7 as never })

test('code, message and causes, a line each, without secrets', () => {
  const error = new SluiceError('SLUICE_TIMEOUT', 'too late', {
    cause: new TypeError('postgres://app:canary-4711@db/x is away'),
  })
  assert.match(
    errorText(error),
    /^SLUICE_TIMEOUT: too late\ncaused by TypeError: postgres:\/\/.*@db\/x is away$/,
  )
  assert.doesNotMatch(errorText(error), /canary/)
})

test('what no database can hold is replaced, also where a pair of surrogates is cut in two', () => {
  assert.equal(errorText(new Error('a\0b\ud800c')), 'Error: a\u{FFFD}b\u{FFFD}c')
  for (const text of ['😀'.repeat(1_200), `x${'😀'.repeat(1_200)}`, '😀'.repeat(5_000)]) {
    const kept = errorText(new Error(text))
    assert.ok(kept.length <= 2_000 && kept.isWellFormed())
  }
})

test('it never throws', () => {
  for (const thrown of [hostile, worse, undefined, null, Symbol('s'), Object.create(null), 1n])
    errorText(thrown)
  fc.assert(
    fc.property(fc.anything(), fc.string({ unit: 'binary', maxLength: 50 }), (thrown, message) => {
      for (const each of [thrown, new Error(message, { cause: thrown })]) {
        const kept = errorText(each)
        assert.ok(kept.length <= 2_000 && kept.isWellFormed() && !kept.includes('\0'))
      }
    }),
  )
})

test('what is no error is told once, and so is what is its own cause; parts that throw are left out', () => {
  assert.equal(errorText(undefined), 'Error: non-error thrown: undefined')
  assert.equal(errorText(null), 'Error: non-error thrown: null')
  assert.equal(errorText('text'), 'Error: non-error thrown: text')
  const own = new Error('own')
  own.cause = own
  assert.equal(errorText(own), 'Error: own')
  const trapped = new Error('x')
  Object.defineProperty(trapped, 'message', {
    get() {
      throw new Error('trap')
    },
  })
  assert.equal(errorText(trapped), 'Error: unknown')
  assert.equal(errorText(new Error('outer', { cause: trapped })), 'Error: outer\ncaused by Error: unknown')
})
