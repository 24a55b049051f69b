import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createApp } from '../../src/app/app.ts'
import { isSluiceError } from '../../src/core/errors.ts'
import { fake } from './fake-component.ts'

/** The message and the hint that `createApp` refuses these options with. */
function refusal(options: unknown): readonly (string | undefined)[] {
  try {
    createApp(options as { name: string })
  } catch (error) {
    assert.ok(isSluiceError(error), String(error))
    assert.equal(error.code, 'SLUICE_INVALID_ARGUMENT')
    return [error.message, error.hint]
  }
  return ['accepted']
}

test('an option that nobody knows is refused with the nearest, at each level', () => {
  const name = 'demo'
  for (const [options, message, hint] of [
    [{ name, component: {} }, 'createApp: there is no option "component"', 'Did you mean "components"?'],
    [
      { name, http: { bodyLimt: 1 } },
      'createApp: http: there is no option "bodyLimt"',
      'Did you mean "bodyLimit"?',
    ],
    [
      { name, http: { overload: { maxMemroy: 1 } } },
      'createApp: http.overload: there is no option "maxMemroy"',
      'Did you mean "maxMemory"?',
    ],
    [{ name, health: { gate: {} } }, 'createApp: health: there is no option "gate"', 'Did you mean "gates"?'],
    [
      { name, shutdown: { bugdet: 1 } },
      'createApp: shutdown: there is no option "bugdet"',
      'Did you mean "budget"?',
    ],
  ] as const) {
    assert.deepEqual(refusal(options), [message, hint])
  }
  assert.match(refusal({ name, zzz: 1 })[1] ?? '', /^Options are name, components, /)
  assert.deepEqual(refusal({ name, zzz: undefined }), ['accepted'])
})

test('what is no component or no schema is refused by its name, and never shown', () => {
  const name = 'demo'
  const expected = 'components.db: expected a component, such as redis(), got'
  assert.deepEqual(refusal({ name, components: { db: null } }), [`${expected} null`, undefined])
  assert.deepEqual(refusal({ name, components: { db: 'hunter2' } }), [
    `${expected} a value of type string`,
    undefined,
  ])
  assert.deepEqual(refusal({ name, components: { db: { dsn: 'hunter2' } } }), [
    `${expected} a value of type object`,
    undefined,
  ])
  assert.deepEqual(refusal({ name, components: { db: fake } }), [
    'components.db: expected a component, got a function',
    'Call it: { db: fake() }.',
  ])
  assert.deepEqual(refusal({ name, components: [] }), [
    'components: expected an object by name, got a list',
    undefined,
  ])
  assert.deepEqual(refusal({ name, settings: { billing: { apiKey: 'hunter2' } } }), [
    'settings.billing: expected a Standard Schema, such as z.object({ … }), got a value of type object',
    undefined,
  ])
  assert.deepEqual(refusal(undefined), [
    'createApp: expected an object of options, got a value of type undefined',
    undefined,
  ])
})
