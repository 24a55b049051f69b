/** The service on what `npm start` brings along, and on a PostgreSQL and a Redis of one's own where there are any. */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import { createTestApp, type TestApp } from 'sluice/testing'
import { ownDatabase } from '../../test/support/own-database.ts'
import { serverAt } from '../../test/support/servers.ts'
import { components, services } from './app.ts'
import type { Todo } from './todos.ts'
import type { User } from './users.ts'

type Started = TestApp<typeof components>

const postgres = await serverAt('postgres')
const redis = await serverAt('redis')

todoSuite('embedded', () => createTestApp({ name: 'todo', components, services }))
todoSuite('on servers', startedOnServers, postgres.skip || redis.skip)

/** The tests of the service, on the resources that `started` gives it. */
function todoSuite(where: string, started: () => Promise<Started>, skip: false | string = false): void {
  void test(`${where}: a todo is created, listed, completed and deleted`, { skip }, async () => {
    await using app = await started()
    const user = await newUser(app, 'bob@example.com')
    const created = await post(app, `/users/${user.id}/todos`, { title: '  buy milk  ' })
    assert.equal(created.statusCode, 201)
    const todo = created.json<Todo>()
    assert.deepEqual([todo.title, todo.done, todo.userId], ['buy milk', false, user.id])

    const completed = await post(app, `/todos/${todo.id}/complete`)
    assert.equal(completed.json<Todo>().done, true)
    await settled(app)
    assert.deepEqual(await titles(app, `/users/${user.id}/todos?state=open`), [])
    assert.deepEqual(await titles(app, `/users/${user.id}/todos?state=done`), ['buy milk'])

    const deleted = await app.inject({ method: 'DELETE', url: `/todos/${todo.id}` })
    assert.equal(deleted.statusCode, 204)
    assert.equal((await app.inject({ method: 'DELETE', url: `/todos/${todo.id}` })).statusCode, 404)
  })

  void test(
    `${where}: pages follow each other, newest first, without a gap or a double`,
    { skip },
    async () => {
      await using app = await started()
      const user = await newUser(app, 'carol@example.com')
      for (let i = 1; i <= 7; i++) await post(app, `/users/${user.id}/todos`, { title: `todo ${i}` })
      const seen: string[] = []
      let before = ''
      for (;;) {
        const page = (await app.inject(`/users/${user.id}/todos?limit=3${before}`)).json<{
          items: Todo[]
          next: string | null
        }>()
        seen.push(...page.items.map((todo) => todo.title))
        if (page.next === null) break
        before = `&before=${page.next}`
      }
      assert.deepEqual(
        seen,
        [7, 6, 5, 4, 3, 2, 1].map((i) => `todo ${i}`),
      )
    },
  )

  void test(`${where}: the cached first page is forgotten when a todo is added`, { skip }, async () => {
    await using app = await started()
    const user = await newUser(app, 'dave@example.com')
    assert.deepEqual(await titles(app, `/users/${user.id}/todos`), [])
    await post(app, `/users/${user.id}/todos`, { title: 'new' })
    await settled(app)
    assert.deepEqual(await titles(app, `/users/${user.id}/todos`), ['new'])
  })

  void test(`${where}: a profile change is seen at once and leaves its audit record`, { skip }, async () => {
    await using app = await started()
    const user = await newUser(app, 'erin@example.com')
    await app.inject(`/users/${user.id}`)
    await app.inject({ method: 'PATCH', url: `/users/${user.id}/profile`, payload: { bio: 'sails' } })
    assert.equal((await app.inject(`/users/${user.id}`)).json<User>().bio, 'sails')
    const audit = (await app.inject(`/users/${user.id}/audit`)).json<
      { action: string; before: User; after: User }[]
    >()
    assert.deepEqual(
      audit.map((entry) => [entry.action, entry.before.bio, entry.after.bio]),
      [['profile.updated', '', 'sails']],
    )
  })

  void test(
    `${where}: a profile change that fails leaves neither change nor audit record`,
    { skip },
    async () => {
      await using app = await started()
      const user = await newUser(app, 'finn@example.com')
      const { db } = app.components
      await db.script(`alter table audit add constraint refuse check (action <> 'profile.updated')`)
      const reply = await app.inject({
        method: 'PATCH',
        url: `/users/${user.id}/profile`,
        payload: { bio: 'lost' },
      })
      assert.equal(reply.statusCode >= 400, true)
      assert.equal((await app.inject(`/users/${user.id}`)).json<User>().bio, '')
    },
  )

  void test(`${where}: what happened is counted, off the path of the request`, { skip }, async () => {
    await using app = await started()
    const user = await newUser(app, 'gail@example.com')
    await post(app, `/users/${user.id}/todos`, { title: 'one' })
    await post(app, `/users/${user.id}/todos`, { title: 'two' })
    await settled(app)
    const counts = (await app.inject('/analytics')).json<{ name: string; times: number }[]>()
    assert.deepEqual(
      counts.map(({ name, times }) => [name, times]),
      [['todo.created', 2]],
    )
  })

  void test(`${where}: the report finds look-alikes in a worker thread`, { skip }, async () => {
    await using app = await started()
    const user = await newUser(app, 'hugo@example.com')
    for (const title of ['Call the dentist', 'call  the dentists', 'Water plants']) {
      await post(app, `/users/${user.id}/todos`, { title })
    }
    const report = (await app.inject(`/users/${user.id}/report`)).json<{
      todos: number
      lookAlikes: { likeness: number }[]
    }>()
    assert.equal(report.todos, 3)
    assert.equal(report.lookAlikes.length, 1)
    assert.ok((report.lookAlikes[0]?.likeness ?? 0) > 0.9)
  })

  void test(`${where}: bad input is refused with a problem that names the place`, { skip }, async () => {
    await using app = await started()
    const bad = await post(app, '/users', { email: 'no address', name: '' })
    assert.equal(bad.statusCode, 400)
    assert.match(bad.headers['content-type'] ?? '', /^application\/problem\+json/)
    assert.match(bad.body, /email/)
    assert.equal((await app.inject('/users/abc/todos')).statusCode, 400)
    assert.equal((await app.inject('/users/1/todos?limit=1000')).statusCode, 400)
    assert.equal((await post(app, '/users/999/todos', { title: 'x' })).statusCode, 404)
  })

  void test(`${where}: an address that is taken is a conflict, not an internal error`, { skip }, async () => {
    await using app = await started()
    await newUser(app, 'ida@example.com')
    assert.equal((await post(app, '/users', { email: 'ida@example.com', name: 'Ida' })).statusCode, 409)
  })
}

async function startedOnServers(): Promise<Started> {
  const database = await ownDatabase(postgres.url)
  const cache = { addr: redis.url, keyPrefix: `sluice-test:${randomUUID()}:` }
  try {
    const config = { db: { dsn: database.dsn }, cache }
    const app = await createTestApp({ name: 'todo', components, services, config })
    const { db, cache: used } = app.components
    assert.deepEqual([db.status()['server'], used.status()['backend']], ['remote', 'server'])
    const end = async (): Promise<void> => {
      await app.stop()
      await database[Symbol.asyncDispose]()
    }
    return Object.assign(Object.create(app) as Started, { [Symbol.asyncDispose]: end })
  } catch (error) {
    await database[Symbol.asyncDispose]()
    throw error
  }
}

async function newUser(app: Started, email: string): Promise<User> {
  const reply = await post(app, '/users', { email, name: 'Somebody' })
  assert.equal(reply.statusCode, 201, reply.body)
  return reply.json<User>()
}

function post(app: Started, url: string, payload: object = {}) {
  return app.inject({ method: 'POST', url, payload })
}

async function titles(app: Started, url: string): Promise<string[]> {
  return (await app.inject(url)).json<{ items: Todo[] }>().items.map((todo) => todo.title)
}

/** Waits for the work that requests left behind. */
function settled(app: Started): Promise<void> {
  return app.app.background.drain()
}
