import assert from 'node:assert/strict'
import { test } from 'node:test'
import { service, type Http } from '../../src/index.ts'
import { postgres, type Postgres } from '../../src/components/postgres/index.ts'
import { redis, type Redis } from '../../src/components/redis/index.ts'
import { createTestApp, leakCheck, openTestServer, type TestServer } from '../../src/testing/index.ts'

leakCheck()

const components = { db: postgres(), cache: redis() }

const notes = service('notes', ({ db, cache, http }: { db: Postgres; cache: Redis; http: Http }) => {
  http.post('/notes', async () => {
    await db.query('create table if not exists notes (id int generated always as identity)')
    await db.query('insert into notes default values')
    await cache.set('seen', 'yes')
    const rows = await db.query<{ n: number }>('select count(*)::int as n from notes')
    return { notes: rows[0]?.n, cached: await cache.get('seen') }
  })
})

test('an app runs on a database of its own and on memory, by inject and by socket', async () => {
  await using one = await createTestApp({ name: 'one', components, services: [notes] })
  const first = await one.inject({ method: 'POST', url: '/notes' })
  assert.deepEqual(first.json(), { notes: 1, cached: 'yes' })
  const second = await one.fetch('/notes', { method: 'POST' })
  assert.deepEqual(await second.json(), { notes: 2, cached: 'yes' })
  assert.match(one.url, /^http:\/\/127\.0\.0\.1:\d+$/)
  assert.equal(one.components.cache.status()['backend'], 'memory')
})

test('two apps at the same time see nothing of each other', async () => {
  await using server: TestServer = await openTestServer()
  const options = { components, services: [notes], databases: server }
  await using one = await createTestApp({ name: 'one', ...options })
  await using two = await createTestApp({ name: 'two', ...options })
  for (const each of [one, two]) {
    const reply = await each.inject({ method: 'POST', url: '/notes' })
    assert.deepEqual(reply.json(), { notes: 1, cached: 'yes' })
  }
})

test('services and routes of the test itself are added before the start', async () => {
  await using made = await createTestApp({
    name: 'own',
    configure: (app) =>
      app.service('hello', ({ http }) => {
        http.get('/hello', () => 'hello')
      }),
  })
  assert.equal((await made.inject('/hello')).body, 'hello')
})

test('neither the environment nor a file of the machine is read', async () => {
  process.env['REDIS_ADDR'] = '127.0.0.1:1'
  try {
    await using made = await createTestApp({ name: 'own', components: { cache: redis() } })
    assert.equal(made.components.cache.status()['backend'], 'memory')
  } finally {
    delete process.env['REDIS_ADDR']
  }
})

test('an app that does not become ready in time says what it waits for, and leaves nothing open', async () => {
  await assert.rejects(
    createTestApp({ name: 'late', components: { cache: redis({ addr: '127.0.0.1:1' }) }, ready: 200 }),
    { code: 'SLUICE_TIMEOUT', message: /not ready after 200 ms: cache is (connecting|failed)/ },
  )
})

test('a start that fails rejects, and its database is dropped', async () => {
  await assert.rejects(
    createTestApp({
      name: 'broken',
      components: { db: postgres() },
      config: { app: { port: 'no' }, nonsense: true },
    }),
    { code: 'SLUICE_CONFIG' },
  )
})

test('stop may be called again, and gives the exit code', async () => {
  const made = await createTestApp({ name: 'own' })
  assert.equal(await made.stop(), 0)
  assert.equal(await made.stop(), 0)
})
