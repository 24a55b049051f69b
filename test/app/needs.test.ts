import assert from 'node:assert/strict'
import { test } from 'node:test'
import { recordingArgument, SkippedService } from '../../src/app/needs.ts'

function record() {
  const needs: string[] = []
  const components = new Map<string, object | undefined>([
    ['db', { isDb: true }],
    ['cache', { isCache: true }],
    ['mail', undefined],
  ])
  const argument = recordingArgument({
    service: 'todos',
    components,
    reason: () => 'mail.enabled is false',
    extras: { http: 'the http', log: 'the log' },
    onNeed: (name) => needs.push(name),
  })
  return { needs, argument }
}

test('what is taken out is what is needed; http and the like are no needs', () => {
  const { needs, argument } = record()
  const { db, http } = argument
  assert.deepEqual(db, { isDb: true })
  assert.equal(http, 'the http')
  assert.deepEqual(needs, ['db'])
})

test('a rest pattern takes everything that is there', () => {
  const { needs, argument } = record()
  const { log: _log, ...rest } = argument
  assert.deepEqual(needs.toSorted(), ['cache', 'db'])
  assert.deepEqual(Object.keys(rest).toSorted(), ['cache', 'db', 'http'])
})

test('an unknown name is refused with the known ones and the nearest', () => {
  const { argument } = record()
  assert.throws(
    () => argument['cahce'],
    /service "todos" takes "cahce".*known: db, cache, mail, http, log.*did you mean "cache"/,
  )
  assert.throws(() => argument['zzz'], /known: db/)
})

test('a disabled component skips the service with the reason', () => {
  const { argument } = record()
  assert.throws(
    () => argument['mail'],
    (error) =>
      error instanceof SkippedService &&
      /needs "mail", which is disabled: mail.enabled is false/.test(error.message),
  )
})

test('`in` asks whether a component is there without needing it', () => {
  const { needs, argument } = record()
  assert.equal('cache' in argument, true)
  assert.equal('mail' in argument, false)
  assert.equal('nothing' in argument, false)
  assert.deepEqual(needs, [])
})

test('what the language asks of any object needs nothing and throws nothing', () => {
  const { needs, argument } = record()
  assert.equal(argument['then'], undefined)
  assert.equal(argument['toString'], undefined)
  assert.equal(JSON.stringify({ argument: argument['toJSON'] }), '{}')
  assert.throws(() => Object.assign(argument, { db: 1 }), TypeError)
  assert.deepEqual(needs, [])
})
