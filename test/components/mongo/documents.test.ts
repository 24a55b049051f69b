/** Documents written and read, one and many, on whatever server is at hand. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inspect } from 'node:util'
import { z } from 'zod'
import { isSluiceError, type SluiceError } from '../../../src/core/errors.ts'
import { hasCode, missingServer, stage } from './support.ts'

const skip = await missingServer()

interface User {
  readonly _id?: string
  readonly name: string
  readonly age: number
}

test('documents are inserted, found, changed, replaced and deleted', { skip }, async () => {
  await using at = await stage()
  const users = at.api.collection<User & { _id: string }>('users')
  const { insertedId } = await users.insertOne({ _id: 'ada', name: 'Ada', age: 36 })
  assert.equal(insertedId, 'ada')
  const { insertedCount } = await users.insertMany([
    { _id: 'bob', name: 'Bob', age: 20 },
    { _id: 'cem', name: 'Cem', age: 30 },
  ])
  assert.equal(insertedCount, 2)
  assert.deepEqual(await users.findOne({ _id: 'ada' }), { _id: 'ada', name: 'Ada', age: 36 })
  assert.equal(await users.findOne({ _id: 'nobody' }), null)
  const grown = await users.find({ age: { $gte: 30 } }, { sort: { age: -1 }, projection: { name: 1 } })
  assert.deepEqual(grown, [
    { _id: 'ada', name: 'Ada' },
    { _id: 'cem', name: 'Cem' },
  ])
  assert.deepEqual(
    (await users.find({}, { sort: { _id: 1 }, skip: 1, limit: 1 })).map(({ _id }) => _id),
    ['bob'],
  )
  assert.equal((await users.updateOne({ _id: 'bob' }, { $inc: { age: 1 } })).modifiedCount, 1)
  assert.equal((await users.updateMany({}, { $set: { name: 'X' } })).matchedCount, 3)
  const upserted = await users.upsertOne({ _id: 'dan' }, { $set: { name: 'Dan', age: 1 } })
  assert.equal(upserted.upsertedId, 'dan')
  assert.equal((await users.replaceOne({ _id: 'cem' }, { name: 'C', age: 31 })).modifiedCount, 1)
  assert.deepEqual(
    await users.findOneAndUpdate({ _id: 'bob' }, { $inc: { age: 1 } }, { returnDocument: 'after' }),
    { _id: 'bob', name: 'X', age: 22 },
  )
  assert.equal(await users.count(), 4)
  assert.equal(await users.count({ age: { $gt: 30 } }), 2)
  assert.equal(await users.estimatedCount(), 4)
  assert.deepEqual(
    (await users.distinct('age')).toSorted((a, b) => a - b),
    [1, 22, 31, 36],
  )
  assert.equal((await users.findOneAndDelete({ _id: 'dan' }))?.name, 'Dan')
  assert.equal((await users.deleteOne({ _id: 'cem' })).deletedCount, 1)
  assert.equal((await users.deleteMany({})).deletedCount, 2)
  await users.drop()
  assert.ok(!(await at.api.collections()).includes('users'))
})

test('an aggregate gives typed rows, and is bounded like find', { skip }, async () => {
  await using at = await stage({ maxDocuments: 3 })
  const orders = at.api.collection<{ user: string; total: number }>('orders')
  await orders.insertMany(Array.from({ length: 4 }, (_, index) => ({ user: `u${index % 2}`, total: index })))
  const sums = await orders.aggregate<{ _id: string; sum: number }>([
    { $group: { _id: '$user', sum: { $sum: '$total' } } },
    { $sort: { _id: 1 } },
  ])
  assert.deepEqual(sums, [
    { _id: 'u0', sum: 2 },
    { _id: 'u1', sum: 4 },
  ])
  await assert.rejects(orders.find(), hasCode('SLUICE_TOO_LARGE'))
  await assert.rejects(orders.aggregate([{ $match: {} }]), hasCode('SLUICE_TOO_LARGE'))
  assert.equal((await orders.find({}, { limit: 4 })).length, 4)
  assert.equal((await orders.find({}, { limit: 2 })).length, 2)
  for (const limit of [0, -1, 1.5, Number.NaN])
    await assert.rejects(async () => orders.find({}, { limit }), hasCode('SLUICE_INVALID_ARGUMENT'))
})

test(
  'a duplicate key is SLUICE_CONFLICT with collection and index, and nowhere the value',
  { skip },
  async () => {
    await using at = await stage()
    const users = at.api.collection('users')
    await users.createIndex({ email: 1 }, { unique: true })
    await users.insertOne({ email: 'ada-4711@example.org' })
    const calls = [
      () => users.insertOne({ email: 'ada-4711@example.org' }),
      () => users.insertMany([{ email: 'new' }, { email: 'ada-4711@example.org' }]),
      () => users.bulkWrite([{ insertOne: { document: { email: 'ada-4711@example.org' } } }]),
    ]
    for (const call of calls) {
      const error = await call().then(
        () => assert.fail('it was stored twice'),
        (thrown: unknown) => thrown as SluiceError,
      )
      assert.ok(isSluiceError(error), inspect(error))
      assert.equal(error.code, 'SLUICE_CONFLICT')
      assert.equal(error.retryable, false)
      assert.equal(error.details?.['index'], 'email_1')
      assert.equal(error.details?.['collection'], `${at.database}.users`)
      assert.ok(
        !inspect(error, { depth: 10, showHidden: true }).includes('4711'),
        inspect(error, { depth: 10 }),
      )
    }
    const error = await users
      .insertMany([{ email: 'first' }, { email: 'ada-4711@example.org' }, { email: 'third' }])
      .then(
        () => assert.fail('it was stored twice'),
        (thrown: unknown) => thrown as SluiceError,
      )
    assert.deepEqual(error.details?.['failed'], [{ index: 1, reply: 11_000 }])
    assert.equal(await users.count({ email: 'first' }), 1)
    assert.equal(await users.count({ email: 'third' }), 0)
  },
)

test('what the server refuses names the refusal and not the values', { skip }, async () => {
  await using at = await stage()
  const users = at.api.collection('users')
  await users.insertOne({ name: 'secret-4711' })
  const error = await users.updateOne({ name: 'secret-4711' }, { $inc: { name: 1 } }).then(
    () => assert.fail('a text was counted up'),
    (thrown: unknown) => thrown as SluiceError,
  )
  assert.equal(error.code, 'SLUICE_QUERY')
  assert.ok(!inspect(error, { depth: 10, showHidden: true }).includes('4711'), inspect(error))
  await assert.rejects(
    users.updateOne({}, { name: 'no operator' } as never),
    hasCode('SLUICE_INVALID_ARGUMENT'),
  )
  await assert.rejects(at.api.command({ noSuchCommand: 1 }), hasCode('SLUICE_UNSUPPORTED', 'SLUICE_QUERY'))
  await assert.rejects(at.api.command({}), hasCode('SLUICE_INVALID_ARGUMENT'))
})

test('names and values that cannot be stored are refused before they are sent', { skip }, async () => {
  await using at = await stage()
  for (const name of ['', '$cmd', 'a\0b', 'system.users'])
    assert.throws(() => at.api.collection(name), hasCode('SLUICE_INVALID_ARGUMENT'))
  const users = at.api.collection('users')
  for (const wrong of [undefined, null, 'text', [1]])
    await assert.rejects(users.insertOne(wrong as never), hasCode('SLUICE_INVALID_ARGUMENT'))
  const circle: Record<string, unknown> = {}
  circle['self'] = circle
  await assert.rejects(users.insertOne(circle), hasCode('SLUICE_INVALID_ARGUMENT'))
  await assert.rejects(users.insertMany([{ big: 'x'.repeat(17_000_000) }]), hasCode('SLUICE_TOO_LARGE'))
  assert.equal(await users.count(), 0)
})

test('a schema checks what is inserted and what replaces, and keeps the _id', { skip }, async () => {
  await using at = await stage()
  const schema = z.object({ name: z.string().min(1), age: z.number().default(7) })
  const users = at.api.collection('users', { schema: schema as never })
  await users.insertOne({ _id: 'a', name: 'Ada' } as never)
  assert.deepEqual(await users.findOne(), { _id: 'a', name: 'Ada', age: 7 })
  await assert.rejects(users.insertOne({ name: '' }), hasCode('SLUICE_INVALID_DATA'))
  await assert.rejects(users.replaceOne({ _id: 'a' as never }, { age: 1 }), hasCode('SLUICE_INVALID_DATA'))
  const { values, errors } = await users
    .insertBatch([{ name: 'Bob' }, { name: 1 }, { name: 'Cem' }])
    .waitAll()
  assert.deepEqual(
    errors.map((error) => (error === undefined ? undefined : (error as SluiceError).code)),
    [undefined, 'SLUICE_INVALID_DATA', undefined],
  )
  assert.ok(values[0]?.insertedId !== undefined)
  assert.equal(await users.count(), 3)
})

test('a document is not changed by being inserted', { skip }, async () => {
  await using at = await stage()
  const document = Object.freeze({ name: 'Ada' })
  const { insertedId } = await at.api.collection('users').insertOne(document)
  assert.deepEqual(document, { name: 'Ada' })
  assert.ok(insertedId !== undefined)
})
