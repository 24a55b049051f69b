import assert from 'node:assert/strict'
import { test } from 'node:test'
import { z } from 'zod'
import { createApp } from '../../src/app/app.ts'
import { service, type Http } from '../../src/app/service.ts'
import type { AsyncResult } from '../../src/core/async-result.ts'
import { fake, type FakeApi } from './fake-component.ts'

// The compiler is the judge here: an expected error that is none fails the type check of the project.

test('types flow from the components to the argument of a service', () => {
  const app = createApp({
    name: 'demo',
    components: { db: fake('db').definition },
    settings: { billing: z.object({ apiKey: z.string() }) },
  })
  app.service('ok', ({ db, http, log, background, pool, clock, app: facts, config }) => {
    const answer: () => AsyncResult<string> = () => db.ping()
    const key: string = config.billing.apiKey
    http.get('/', () => ({ answer, key, draining: facts.draining, now: clock.now() }))
    log.info({ capacity: pool.capacity }, 'typed')
    background.run('typed', () => {})
    // @ts-expect-error -- there is no such operation
    void db.pong
    // @ts-expect-error -- there is no such setting
    void config.billing.secret
  })
  // @ts-expect-error -- there is no such component
  app.service('unknown', ({ cache }) => void cache)
  // @ts-expect-error -- a service must not be async
  app.service('async', async () => {})
  assert.equal(app.name, 'demo')
})

test('an app that lacks what a service takes does not compile', () => {
  const takesDb = service('db', ({ db }: { readonly db: FakeApi }) => void db)
  const takesCache = service('cache', ({ cache }: { readonly cache: FakeApi }) => void cache)
  const takesOther = service('other', ({ db }: { readonly db: { readonly query: () => void } }) => void db)
  const takesHttp = service('http', ({ http }: { readonly http: Http }) => void http)
  const app = createApp({ name: 'demo', components: { db: fake('db').definition } })
  app.use(takesDb).use(takesHttp)
  // @ts-expect-error -- there is no cache
  app.use(takesCache)
  // @ts-expect-error -- db is of another type
  app.use(takesOther)
  assert.equal(takesDb.name, 'db')
})

test('bodies, queries and replies have the types of their schemas', () => {
  const app = createApp({ name: 'demo' })
  app.service('typed', ({ http }) => {
    const schema = {
      body: z.object({ title: z.string() }),
      querystring: z.object({ page: z.coerce.number() }),
      response: { 200: z.object({ id: z.string() }) },
    }
    http.post('/', { schema }, (request) => {
      const title: string = request.body.title
      const page: number = request.query.page
      return { id: `${title}${page}` }
    })
    // @ts-expect-error -- the reply lacks its id
    http.post('/wrong', { schema }, () => ({ title: 1 }))
  })
  assert.equal(app.name, 'demo')
})
