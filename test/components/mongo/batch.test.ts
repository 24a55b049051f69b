/** Batches: a result for each write. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { SluiceError } from '../../../src/core/errors.ts'
import { hasCode, missingServer, stage } from './support.ts'

const skip = await missingServer()
const codes = (errors: readonly (Error | undefined)[]): readonly (string | undefined)[] =>
  errors.map((error) => (error as SluiceError | undefined)?.code)

test('a batch over several collections has the result of each write at its index', { skip }, async () => {
  await using at = await stage()
  await at.api.collection('users').insertOne({ _id: 'taken' as never })
  const { values, errors } = await at.api
    .batch([
      { collection: 'users', insertOne: { document: { _id: 'ada' as never } } },
      { collection: 'orders', insertOne: { document: { _id: 1 as never, user: 'ada' } } },
      { collection: 'users', insertOne: { document: { _id: 'taken' as never } } },
      {
        collection: 'orders',
        updateOne: { filter: { _id: 9 as never }, update: { $set: { user: 'x' } }, upsert: true },
      },
      { collection: 'users', insertOne: { document: { _id: 'bob' as never } } },
      { collection: 'orders', deleteOne: { filter: { _id: 77 as never } } },
    ])
    .waitAll()
  assert.deepEqual(codes(errors), [undefined, undefined, 'SLUICE_CONFLICT', undefined, undefined, undefined])
  assert.equal(values[0]?.insertedId, 'ada')
  assert.equal(values[1]?.insertedId, 1)
  assert.equal(values[3]?.upsertedId, 9)
  assert.deepEqual(values[5], {})
  assert.equal(await at.api.collection('users').count(), 3)
  assert.equal(await at.api.collection('orders').count(), 2)
})

test('an ordered batch ends at the first that fails, and those behind it say so', { skip }, async () => {
  await using at = await stage()
  const users = at.api.collection('users')
  const write = (_id: number) => ({ collection: 'users', insertOne: { document: { _id: _id as never } } })
  const { errors } = await at.api.batch([write(1), write(1), write(2), write(3)], { ordered: true }).waitAll()
  assert.deepEqual(codes(errors), [undefined, 'SLUICE_CONFLICT', 'SLUICE_CONFLICT', 'SLUICE_CONFLICT'])
  assert.equal(await users.count(), 1)
})

test('thousands of documents are one batch', { skip }, async () => {
  await using at = await stage()
  const events = at.api.collection('events')
  const documents = Array.from({ length: 2_500 }, (_, index) => ({ index }))
  const { values, errors } = await events.insertBatch(documents).waitAll()
  assert.equal(errors.filter((error) => error !== undefined).length, 0)
  assert.equal(new Set(values.map((value) => String(value?.insertedId))).size, 2_500)
  assert.equal(await events.count(), 2_500)
})

test('batches that are none are refused as a whole', { skip }, async () => {
  await using at = await stage()
  const { errors } = await at.api.batch([]).waitAll()
  assert.deepEqual(errors, [])
  await assert.rejects(at.api.collection('users').bulkWrite([]), hasCode('SLUICE_INVALID_ARGUMENT'))
  const tooMany = Array.from({ length: 100_001 }, () => ({}))
  const refused = await at.api.collection('users').insertBatch(tooMany).waitAll()
  assert.equal(codes(refused.errors.slice(0, 1))[0], 'SLUICE_INVALID_ARGUMENT')
  assert.equal(await at.api.collection('users').count(), 0)
})
