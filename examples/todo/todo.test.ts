/** The service on what `npm start` brings along, and on a PostgreSQL and a Redis of one's own where there are any. */
import assert from 'node:assert/strict'
import { createHmac, randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { after, test } from 'node:test'
import { createTestApp, type TestApp } from 'sluice/testing'
import { ownDatabase } from '../../test/support/own-database.ts'
import { serverAt } from '../../test/support/servers.ts'
import { components, services, settings } from './app.ts'
import { DIGEST } from './digest.ts'
import { openSink, type Mail } from './mail-sink.ts'
import type { Todo } from './todos.ts'
import type { User } from './users.ts'

interface Problem {
  readonly errors?: readonly { readonly path: string }[]
}

interface Described {
  readonly responses: object
}

type Started = TestApp<typeof components, typeof settings>

const postgres = await serverAt('postgres')
const redis = await serverAt('redis')

/** Takes the mail of all tests; each looks for its own address. */
const sink = await openSink()
const waiting = new Set<() => void>()
sink.onMail = () => waiting.forEach((look) => look())
after(() => sink.close())

const base = { name: 'todo', components, services, settings } as const

todoSuite('embedded', () => createTestApp({ ...base, config: { mail: { url: sink.url } } }))
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
      await db.script(`alter table sluice.audit add constraint refuse check (action <> 'profile.updated')`)
      const reply = await app.inject({
        method: 'PATCH',
        url: `/users/${user.id}/profile`,
        payload: { bio: 'lost' },
      })
      assert.equal(reply.statusCode >= 400, true)
      assert.equal((await app.inject(`/users/${user.id}`)).json<User>().bio, '')
    },
  )

  void test(`${where}: what happened is counted once, off the path of the request`, { skip }, async () => {
    await using app = await started()
    const user = await newUser(app, 'gail@example.com')
    await post(app, `/users/${user.id}/todos`, { title: 'one' })
    const second = await post(app, `/users/${user.id}/todos`, { title: 'two' })
    const { id } = second.json<Todo>()
    await post(app, `/todos/${id}/complete`)
    await post(app, `/todos/${id}/complete`)
    const counts = async () =>
      (await app.inject('/analytics'))
        .json<{ name: string; times: number }[]>()
        .map(({ name, times }) => [name, times])
    let seen = await counts()
    while (seen.reduce((sum, [, times]) => sum + Number(times), 0) < 3) seen = await counts()
    assert.deepEqual(seen, [
      ['todo.completed', 1],
      ['todo.created', 2],
    ])
  })

  void test(
    `${where}: a new user is welcomed by mail, also when the mail server refuses at first`,
    { skip },
    async () => {
      await using app = await started()
      sink.refuse(2)
      const mails = mailsTo('kim@example.com', 1)
      await newUser(app, 'kim@example.com')
      const [mail] = await mails
      assert.match(mail?.raw ?? '', /^Subject: Welcome, Somebody\r$/m)
      assert.match(mail?.raw ?? '', /^Message-ID: <job-\d+@todo\.example\.com>\r$/im)
    },
  )

  void test(`${where}: a user that could not be made is sent no mail`, { skip }, async () => {
    await using app = await started()
    await newUser(app, 'lea@example.com')
    const { jobs } = app.components
    assert.equal((await post(app, '/users', { email: 'lea@example.com', name: 'Lea' })).statusCode, 409)
    let left = await jobs.stats()
    while (left.some(({ ready, running }) => ready + running > 0)) left = await jobs.stats()
    assert.equal(sink.mails.filter(({ to }) => to.includes('lea@example.com')).length, 1)
  })

  void test(`${where}: a webhook is signed, and delivered again until it is taken`, { skip }, async () => {
    await using app = await started()
    await using receiver = await openReceiver(1)
    const user = await newUser(app, 'mia@example.com')
    const made = await post(app, `/users/${user.id}/webhooks`, { url: receiver.url })
    const { secret } = made.json<{ secret: string }>()
    await post(app, `/users/${user.id}/todos`, { title: 'tell the world' })
    const [first, second] = await receiver.deliveries(2)
    assert.ok(first !== undefined && second !== undefined)
    assert.equal(first.headers['x-todo-delivery'], second.headers['x-todo-delivery'])
    assert.deepEqual(JSON.parse(second.body).event, 'todo.created')
    const signed = `${String(second.headers['x-todo-timestamp'])}.${second.body}`
    const expected = createHmac('sha256', secret).update(signed).digest('hex')
    assert.equal(second.headers['x-todo-signature'], `sha256=${expected}`)
  })

  void test(`${where}: the nightly digest goes once to each user with open todos`, { skip }, async () => {
    await using app = await started()
    const user = await newUser(app, 'nina@example.com')
    await post(app, `/users/${user.id}/todos`, { title: 'sleep' })
    const mails = mailsTo('nina@example.com', 2)
    const key = randomUUID()
    const runs = await Promise.all([1, 2, 3].map(() => app.components.cron.runNow(DIGEST, { key })))
    assert.equal(new Set(runs.map(({ id }) => id)).size, 1)
    assert.match((await mails)[1]?.raw ?? '', /^Subject: 1 open todos\r$/m)
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

  void test(
    `${where}: what a text of PostgreSQL cannot hold is refused with its place`,
    { skip },
    async () => {
      await using app = await started()
      const { id } = await newUser(app, 'nul@example.com')
      for (const [method, url, payload, place] of [
        ['POST', `/users/${id}/todos`, { title: 'a\0b' }, 'body.title'],
        ['POST', '/users', { email: 'a@example.com', name: 'a\0b' }, 'body.name'],
        ['PATCH', `/users/${id}/profile`, { bio: 'a\0b' }, 'body.bio'],
      ] as const) {
        const reply = await app.inject({ method, url, payload })
        assert.deepEqual([reply.statusCode, reply.json<Problem>().errors?.[0]?.path], [400, place])
      }
      const bio = 'two\r\nlines\tand a tab'
      assert.equal(
        (await app.inject({ method: 'PATCH', url: `/users/${id}/profile`, payload: { bio } })).statusCode,
        200,
      )
    },
  )

  void test(`${where}: the routes that make something say so in /openapi.json`, { skip }, async () => {
    await using app = await started()
    const { paths } = (await app.inject('/openapi.json')).json<{
      paths: Record<string, Record<string, Described>>
    }>()
    for (const path of ['/users', '/users/{userId}/todos', '/users/{userId}/webhooks'])
      assert.deepEqual(Object.keys(paths[path]?.['post']?.responses ?? {}), ['201', 'default'], path)
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
    const config = { db: { dsn: database.dsn }, cache, mail: { url: sink.url } }
    const app = await createTestApp({ ...base, config })
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

/** Resolves with the mails to that address once there are so many. */
function mailsTo(address: string, count: number): Promise<readonly Mail[]> {
  return new Promise((resolve) => {
    const look = (): void => {
      const found = sink.mails.filter(({ to }) => to.includes(address))
      if (found.length < count) return
      waiting.delete(look)
      resolve(found)
    }
    waiting.add(look)
    look()
  })
}

interface Delivery {
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

/** Receives webhooks; answers the first `refusals` with 503. */
async function openReceiver(refusals: number) {
  const received: Delivery[] = []
  const arrived = new Set<() => void>()
  const server = createServer((request, response) => {
    void text(request).then((body) => {
      received.push({ headers: request.headers, body })
      response.writeHead(received.length <= refusals ? 503 : 204).end()
      arrived.forEach((look) => look())
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`,
    deliveries: (count: number): Promise<readonly Delivery[]> =>
      new Promise((resolve) => {
        const look = (): void => {
          if (received.length < count) return
          arrived.delete(look)
          resolve(received)
        }
        arrived.add(look)
        look()
      }),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
