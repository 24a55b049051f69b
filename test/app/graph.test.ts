import assert from 'node:assert/strict'
import { test } from 'node:test'
import { connectOrder } from '../../src/app/graph.ts'
import { createApp } from '../../src/app/app.ts'
import { hasCode } from '../../src/core/errors.ts'
import { fake } from './fake-component.ts'

const order = (graph: Record<string, readonly string[]>): readonly string[] =>
  connectOrder(new Map(Object.entries(graph)))

test('a component comes after all that it depends on, and independent ones keep their order', () => {
  assert.deepEqual(order({ jobs: ['db'], cache: [], db: [] }), ['db', 'jobs', 'cache'])
  assert.deepEqual(order({ a: ['b', 'c'], b: ['d'], c: ['d'], d: [] }), ['d', 'b', 'c', 'a'])
})

test('a circle is refused with its members', () => {
  assert.throws(
    () => order({ a: ['b'], b: ['c'], c: ['b'] }),
    (error) => hasCode(error, 'SLUICE_CONFIG') && /b -> c -> b/.test(error.message),
  )
  assert.throws(() => order({ a: ['a'] }), /a -> a/)
})

test('createApp refuses a dependency that is no component, and names the nearest', () => {
  assert.throws(
    () =>
      createApp({
        name: 'demo',
        components: {
          database: fake('db').definition,
          jobs: fake('jobs', { dependsOn: ['databse'] }).definition,
        },
      }),
    (error) => hasCode(error, 'SLUICE_CONFIG') && /"databse".*did you mean "database"/.test(error.message),
  )
})

test('createApp refuses names that cannot be taken out of an argument', () => {
  assert.throws(() => createApp({ name: 'demo', components: { 'my db': fake('db').definition } }), /"my db"/)
  assert.throws(() => createApp({ name: 'Demo App' }), /lower-case letters/)
})
