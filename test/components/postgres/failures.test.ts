import assert from 'node:assert/strict'
import { inspect } from 'node:util'
import { test } from 'node:test'
import { failureOf, sqlState } from '../../../src/components/postgres/failures.ts'
import { SluiceError, type ErrorCode } from '../../../src/core/errors.ts'
import { isDependencyFailure } from '../../../src/policy/failure.ts'

function ofServer(code: string, fields: object = {}): Error {
  return Object.assign(new Error(`it failed: "hunter2"`), { code, severity: 'ERROR', ...fields })
}

test('each SQLSTATE has its code, and says whether trying again may help', () => {
  const table: readonly [string, ErrorCode, boolean][] = [
    ['08006', 'SLUICE_UNAVAILABLE', true],
    ['22P02', 'SLUICE_QUERY', false],
    ['23505', 'SLUICE_CONFLICT', false],
    ['25006', 'SLUICE_READ_ONLY', true],
    ['25P02', 'SLUICE_QUERY', false],
    ['28P01', 'SLUICE_AUTH', false],
    ['40001', 'SLUICE_CONFLICT', true],
    ['40P01', 'SLUICE_CONFLICT', true],
    ['40003', 'SLUICE_OUTCOME_UNKNOWN', false],
    ['42601', 'SLUICE_QUERY', false],
    ['42501', 'SLUICE_QUERY', false],
    ['53100', 'SLUICE_STORE_FULL', true],
    ['53300', 'SLUICE_OVERLOADED', true],
    ['55P03', 'SLUICE_CONFLICT', true],
    ['57014', 'SLUICE_TIMEOUT', true],
    ['57P01', 'SLUICE_UNAVAILABLE', true],
    ['57P03', 'SLUICE_UNAVAILABLE', true],
    ['58030', 'SLUICE_UNAVAILABLE', true],
    ['P0001', 'SLUICE_QUERY', false],
    ['XX001', 'SLUICE_STORE_CORRUPT', false],
  ]
  for (const [state, code, retryable] of table) {
    const failure = failureOf(ofServer(state), { component: 'db' })
    assert.deepEqual([failure.code, failure.retryable], [code, retryable], state)
    assert.equal(sqlState(failure), state)
    assert.equal(failure.component, 'db')
  }
})

test('what concerns one statement alone is told as such, and does not count against the server', () => {
  const table: readonly [string, ErrorCode][] = [
    ['08001', 'SLUICE_UNAVAILABLE'],
    ['08P01', 'SLUICE_QUERY'],
    ['53200', 'SLUICE_OVERLOADED'],
    ['53400', 'SLUICE_QUERY'],
    ['54000', 'SLUICE_QUERY'],
    ['57014', 'SLUICE_TIMEOUT'],
    ['58P01', 'SLUICE_QUERY'],
  ]
  for (const [state, code] of table) {
    const answered = failureOf(ofServer(state, { routine: 'exec_bind_message' }), { component: 'db' })
    assert.deepEqual([answered.code, answered.retryable], [code, false], state)
    assert.equal(isDependencyFailure(answered), false, state)
  }
})

test('a server that ends the connection, and a pooler that has lost its server, do count', () => {
  const fatal = failureOf(ofServer('08P01', { severity: 'FATAL', routine: 'x' }), { component: 'db' })
  const pooler = failureOf(ofServer('08P01'), { component: 'db' })
  const full = failureOf(ofServer('53300', { routine: 'InitProcess' }), { component: 'db' })
  for (const failure of [fatal, pooler, full]) {
    assert.equal(failure.retryable, true)
    assert.ok(isDependencyFailure(failure), failure.code)
  }
})

test('values that the server quotes are nowhere in the error', () => {
  const failure = failureOf(
    ofServer('22P02', { detail: 'hunter2', where: 'hunter2', internalQuery: 'hunter2', column: 'age' }),
    { component: 'db' },
  )
  assert.ok(!inspect(failure, { depth: 10, showHidden: true }).includes('hunter2'))
  assert.equal(failure.details?.['column'], 'age')
})

test('a lost connection is unknown for what was sent and may not be repeated, and unavailable otherwise', () => {
  const reset = Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' })
  const of = (more: object) => failureOf(reset, { component: 'db', ...more })
  assert.equal(of({}).code, 'SLUICE_UNAVAILABLE')
  assert.equal(of({ sent: true, repeatable: true }).code, 'SLUICE_UNAVAILABLE')
  const unknown = of({ sent: true, repeatable: false })
  assert.deepEqual([unknown.code, unknown.retryable], ['SLUICE_OUTCOME_UNKNOWN', false])
})

test('failures before a connection is up say what is wrong', () => {
  const table: readonly [Error, ErrorCode][] = [
    [new Error('SASL: SCRAM-SERVER-FIRST-MESSAGE: client password must be a string'), 'SLUICE_AUTH'],
    [new Error('timeout expired'), 'SLUICE_TIMEOUT'],
    [new Error('The server does not support SSL connections'), 'SLUICE_UNAVAILABLE'],
    [new AggregateError([new Error('connect ECONNREFUSED ::1:5432')], ''), 'SLUICE_UNAVAILABLE'],
    [
      Object.assign(new Error('self-signed certificate'), { code: 'DEPTH_ZERO_SELF_SIGNED_CERT' }),
      'SLUICE_UNAVAILABLE',
    ],
  ]
  for (const [error, code] of table)
    assert.equal(failureOf(error, { component: 'db' }).code, code, error.message)
  const own = new SluiceError('SLUICE_CLOSED', 'x')
  assert.equal(failureOf(own, { component: 'db' }), own)
})

test('a refused login and a database that is not there say where the connection led', () => {
  const target = 'db:5432, database "todo"'
  for (const state of ['28P01', '3D000']) {
    const { hint } = failureOf(ofServer(state), { component: 'db', target })
    assert.match(hint ?? '', /DSN.*\. The connection was to db:5432, database "todo"\.$/)
  }
  assert.doesNotMatch(failureOf(ofServer('28P01'), { component: 'db' }).hint ?? '', /The connection was/)
})

test('a server that asks for a password the DSN does not have is told in those words', () => {
  for (const what of ['a string', 'a non-empty string']) {
    const jargon = new Error(`SASL: SCRAM-SERVER-FIRST-MESSAGE: client password must be ${what}`)
    const failure = failureOf(jargon, { component: 'db', target: 'db:5432, database "todo"' })
    assert.equal(failure.code, 'SLUICE_AUTH')
    assert.equal(failure.message, 'db: the server asks for a password and the DSN has none')
    assert.match(failure.hint ?? '', /^Write it into the DSN.* The connection was to db:5432/)
  }
})
