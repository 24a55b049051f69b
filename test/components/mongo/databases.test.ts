/** Many databases by name, added and taken off while it runs. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { mongo } from '../../../src/components/mongo/index.ts'
import { connectComponent } from '../../../src/testing/connect-component.ts'
import { connectMongo, dropDatabases, hasCode, missingServer, ownName, stage, URL } from './support.ts'

const skip = await missingServer()

test('databases of multi_config are there by name, those that are turned off are not', { skip }, async () => {
  const [main, archive, own] = [ownName(), ownName(), ownName()]
  await using open = await connectComponent(mongo(), {
    name: 'mongo',
    config: {
      url: URL,
      database: main,
      multi_config: [
        { name: 'archive', database: archive },
        { name: 'reports', url: URL, database: own },
        { name: 'off', enabled: false },
      ],
    },
  })
  assert.deepEqual(open.api.databases(), ['archive', 'reports'])
  await open.api.collection('a').insertOne({ at: 'main' })
  await open.api.database('archive').collection('a').insertOne({ at: 'archive' })
  await open.api.database('reports').collection('a').insertOne({ at: 'reports' })
  for (const [database, expected] of [
    [open.api, 'main'],
    [open.api.database('archive'), 'archive'],
    [open.api.database('reports'), 'reports'],
  ] as const)
    assert.equal((await database.collection('a').findOne())?.['at'], expected)
  assert.throws(() => open.api.database('off'), hasCode('SLUICE_INVALID_ARGUMENT'))
  await dropDatabases(main, archive, own)
})

test('without a url of its own the component works on the first named database', { skip }, async () => {
  const database = ownName()
  await using open = await connectComponent(
    mongo({ connections: { first: `${URL.replace(/\/$/, '')}/${database}` } }),
  )
  await open.api.collection('a').insertOne({ at: 'first' })
  assert.equal((await open.api.database('first').collection('a').findOne())?.['at'], 'first')
  await dropDatabases(database)
})

test('a database is added and taken off while the app runs', { skip }, async () => {
  await using at = await stage()
  const other = ownName()
  const tenant = at.api.addDatabase('tenant', { database: other })
  await tenant.collection('a').insertOne({ at: 'tenant' })
  const far = at.api.addDatabase('far', { url: URL, database: other })
  assert.equal((await far.collection('a').findOne())?.['at'], 'tenant')
  assert.deepEqual(at.api.databases(), ['tenant', 'far'])
  const before = at.open.component.inspect()['connections'] as number
  await at.api.removeDatabase('far')
  assert.ok((at.open.component.inspect()['connections'] as number) < before, 'its connections are closed')
  await at.api.removeDatabase('tenant')
  assert.deepEqual(at.api.databases(), [])
  await assert.rejects(tenant.collection('a').findOne(), hasCode('SLUICE_CLOSED'))
  await assert.rejects(far.collection('a').findOne(), hasCode('SLUICE_CLOSED'))
  await assert.rejects(at.api.removeDatabase('tenant'), hasCode('SLUICE_INVALID_ARGUMENT'))
  // The name is free again, and the old handle stays closed.
  at.api.addDatabase('tenant', { database: `${other}2` })
  await assert.rejects(tenant.collection('a').findOne(), hasCode('SLUICE_CLOSED'))
  await dropDatabases(other)
})

test('what cannot be added is refused, and never shown with its password', { skip }, async () => {
  await using at = await stage()
  for (const [name, options] of [
    ['', {}],
    ['a', { url: 'redis://127.0.0.1' }],
    ['a', { url: 'mongodb://user:canary@ss@host' }],
    ['a', { database: 'a b' }],
    ['a b', {}],
  ] as const)
    assert.throws(
      () => at.api.addDatabase(name, options),
      (error: unknown) => {
        assert.ok(!String(error).includes('canary'))
        return hasCode('SLUICE_INVALID_ARGUMENT')(error)
      },
    )
  at.api.addDatabase('a')
  assert.throws(() => at.api.addDatabase('a'), hasCode('SLUICE_INVALID_ARGUMENT'))
})

test('a named database that is away fails its own calls alone', { skip }, async () => {
  await using at = await stage({ selectionTimeout: '300ms' })
  const away = at.api.addDatabase('away', { url: 'mongodb://127.0.0.1:1' })
  for (let round = 0; round < 3; round++)
    await assert.rejects(
      away.collection('a').findOne({}, { timeout: '2s' }),
      hasCode('SLUICE_UNAVAILABLE', 'SLUICE_TIMEOUT'),
    )
  assert.equal(await at.api.collection('a').findOne(), null)
  assert.equal(at.api.status().breaker, 'closed')
})

test('before it is connected its handles are there already', { skip }, async () => {
  await using open = await connectMongo({ database: ownName() })
  const users = open.mongo.collection('users')
  assert.equal(await users.findOne(), null)
})
