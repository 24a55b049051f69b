import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createApp } from '../../src/app/app.ts'
import { service, type Http } from '../../src/app/service.ts'
import { hasCode, SluiceError } from '../../src/core/errors.ts'
import { silentLogger, type Logger } from '../../src/telemetry/log.ts'
import { ManualClock } from '../../src/testing/manual-clock.ts'
import { recordingLogger, type RecordedLine } from '../telemetry/recording-logger.ts'
import { fake, type FakeApi } from './fake-component.ts'

const base = { name: 'demo', port: 0, host: '127.0.0.1', env: {}, logger: silentLogger } as const

test('a service runs exactly once, before the port opens, and says what it took', async () => {
  let runs = 0
  let listening: boolean | undefined
  await using app = createApp({
    ...base,
    components: { db: fake('db').definition, cache: fake('cache').definition },
  })
  app.service('todos', ({ db, http }) => {
    runs++
    listening = app.readiness !== 'starting'
    http.get('/', async () => ({ answer: await db.ping() }))
  })
  await app.start()
  await app.init.ready()
  assert.equal(runs, 1)
  assert.equal(listening, false)
  const health = (await (await fetch(`${app.address.url}/health`)).json()) as {
    services: Record<string, unknown>
  }
  assert.deepEqual(health.services['todos'], {
    name: 'todos',
    state: 'running',
    needs: ['db'],
    waiting_for: [],
    reason: null,
  })
})

test('a service that takes a disabled component is skipped with the reason, and the others run', async () => {
  const mail = fake('mail')
  await using app = createApp({
    ...base,
    components: { mail: mail.definition, list: fake('list', { dependsOn: ['mail'] }).definition },
    config: { mail: { enabled: false }, services: { off: false } },
  })
  app.service('mails', ({ mail: post, http }) => void http.get('/mails', () => ({ post: post.name })))
  app.service('lists', ({ list, http }) => void http.get('/lists', () => ({ list: list.name })))
  app.service('off', ({ http }) => void http.get('/off', () => ({})))
  app.service('plain', ({ http }) => void http.get('/plain', () => ({})))
  await app.start()
  const status = async (path: string) => (await fetch(app.address.url + path)).status
  assert.equal(await status('/mails'), 404)
  assert.equal(await status('/lists'), 404)
  assert.equal(await status('/off'), 404)
  assert.equal(await status('/plain'), 200)
  const { services } = (await (await fetch(`${app.address.url}/health`)).json()) as {
    services: Record<string, { state: string; reason: string | null }>
  }
  assert.equal(services['mails']?.reason, 'needs "mail", which is disabled: mail.enabled is false')
  assert.equal(
    services['lists']?.reason,
    'needs "list", which is disabled: depends on "mail", which is disabled',
  )
  assert.equal(services['off']?.reason, 'services.off is false')
  assert.equal(app.init.status()['mail']?.state, 'disabled')
  assert.deepEqual(mail.calls, [])
})

test('a service that takes an unknown name fails the start with the nearest name, and leaves nothing open', async () => {
  const app = createApp({ ...base, components: { cache: fake('cache').definition } })
  app.service('todos', (argument) => void (argument as unknown as Record<string, unknown>)['cahce'])
  await assert.rejects(
    app.start(),
    (error) => hasCode(error, 'SLUICE_INVALID_ARGUMENT') && /did you mean "cache"/.test(error.message),
  )
  await assert.rejects(app.start(), (error) => hasCode(error, 'SLUICE_CLOSED'))
  assert.equal(await app.stop(), 0)
})

test('an async service is refused with what to do instead', async () => {
  const app = createApp(base)
  app.service('slow', (() => Promise.resolve()) as unknown as () => void)
  await assert.rejects(app.start(), /service "slow" is async; return \{ start \}/)
})

test('routes open when start has resolved; a start that fails is tried again', async () => {
  let attempts = 0
  const second = Promise.withResolvers<void>()
  await using app = createApp({ ...base, random: () => 0 })
  app.service('warm', ({ http }) => {
    http.get('/', () => ({ attempts }))
    return {
      start: async () => {
        attempts++
        if (attempts === 1) throw new Error('not yet')
        await second.promise
      },
    }
  })
  await app.start()
  const first = await fetch(`${app.address.url}/`)
  assert.equal(first.status, 503)
  assert.equal(((await first.json()) as { code: string }).code, 'SERVICE_NOT_READY')
  second.resolve()
  let status = 0
  do status = (await fetch(`${app.address.url}/`)).status
  while (status !== 200)
  assert.equal(attempts, 2)
})

test('services stop in reverse order, before their components close', async () => {
  const order: string[] = []
  const db = fake('db')
  db.close = () => Promise.resolve(void order.push('db closed'))
  const app = createApp({ ...base, components: { db: db.definition } })
  app.service('first', ({ db: _db }) => ({ stop: () => void order.push('first') }))
  app.service('second', ({ db: _db }) => ({ stop: async () => void order.push('second') }))
  await app.start()
  await app.init.ready()
  assert.equal(await app.stop(), 0)
  assert.deepEqual(order, ['second', 'first', 'db closed'])
})

test('a service of a file of its own runs in any app that has what it takes', async () => {
  const pings = service('pings', ({ db, http }: { readonly db: FakeApi; readonly http: Http }) => {
    http.get('/ping', async () => ({ answer: await db.ping() }))
  })
  await using app = createApp({ ...base, components: { db: fake('db').definition } }).use(pings)
  await app.start()
  await app.init.ready()
  assert.deepEqual(await (await fetch(`${app.address.url}/ping`)).json(), { answer: 'pong' })
  assert.throws(() => app.service('pings', () => {}), /before the app starts/)
})

test('two services of one name, and settings nobody knows, are refused', async () => {
  const app = createApp({ ...base, config: { services: { tdos: false } } })
  app.service('todos', () => {})
  assert.throws(() => app.service('todos', () => {}), /is there already/)
  await assert.rejects(app.start(), (error) => hasCode(error, 'SLUICE_CONFIG') && /todos/.test(error.message))
})

test('background work outlives its request and is waited for at stop', async () => {
  const app = createApp(base)
  const gate = Promise.withResolvers<void>()
  let finished = false
  app.service('work', ({ http, background }) => {
    http.get('/', () => {
      background.run('later', async () => {
        await gate.promise
        finished = true
      })
      return { accepted: true }
    })
  })
  await app.start()
  assert.equal((await fetch(`${app.address.url}/`)).status, 200)
  const stopping = app.stop()
  assert.equal(finished, false)
  gate.resolve()
  assert.equal(await stopping, 0)
  assert.equal(finished, true)
})

test('an answer for a service that waits is counted under its own route, and tells /health what to do', async () => {
  const db = fake('db')
  db.connect = () =>
    Promise.reject(
      new SluiceError('SLUICE_MISSING_PEER', 'no driver', { hint: 'Install it: npm install driver' }),
    )
  await using app = createApp({ ...base, components: { db: db.definition } })
  app.service('todos', ({ db: store, http }) => void http.get('/todos/:id', () => store.ping()))
  await app.start()
  const waiting = await fetch(`${app.address.url}/todos/7`)
  assert.equal(waiting.status, 503)
  assert.doesNotMatch(await waiting.text(), /by itself/)
  const metrics = await (await fetch(`${app.address.url}/metrics`)).text()
  assert.match(metrics, /_count\{method="GET",route="\/todos\/:id",status="503"\} 1/)
  const health = async () =>
    (await (await fetch(`${app.address.url}/health/db`)).json()) as { readonly error: string | null }
  let shown = await health()
  while (shown.error === null) shown = await health()
  assert.match(shown.error, /npm install driver/)
})

test('a service whose start keeps failing is told of once a minute', async () => {
  const clock = new ManualClock()
  const lines: number[] = []
  const logger: Logger = {
    ...silentLogger,
    error: () => void lines.push(clock.monotonic()),
    child: () => logger,
  }
  const app = createApp({ ...base, clock, logger })
  let starts = 0
  app.service('broken', () => ({ start: () => Promise.reject(new Error(`start ${++starts}`)) }))
  await app.start()
  await clock.advance(10 * 60_000)
  assert.ok(starts > 15, `${starts} starts`)
  // The first failure after the minute is told, and failures are at most 30 s apart.
  assert.equal(lines[0], 0)
  for (const [i, at] of [...lines, clock.monotonic()].entries()) {
    const gap = at - (lines[i - 1] ?? 0)
    assert.ok(i === 0 || gap <= 90_000, `${gap} ms without a line`)
    assert.ok(i === 0 || i === lines.length || gap >= 60_000, `lines ${gap} ms apart`)
  }
  assert.equal(await app.stop(), 0)
})

test('a start that ignores its signal does not keep the service from being stopped', async () => {
  const clock = new ManualClock()
  const stopped = Promise.withResolvers<void>()
  const begun = Promise.withResolvers<void>()
  const app = createApp({ ...base, clock, shutdown: { workTimeout: '1s' } })
  app.service('deaf', () => ({
    start: () => {
      begun.resolve()
      return new Promise<void>(() => {})
    },
    stop: () => stopped.resolve(),
  }))
  await app.start()
  await begun.promise
  const stopping = app.stop()
  for (let second = 0; second < 30; second++) await clock.advance(1_000)
  assert.equal(await stopping, 70)
  await stopped.promise
})

/** Stops an app whose time stands still, by moving it on. */
function stopping(app: { stop(): Promise<unknown> }, clock: ManualClock): AsyncDisposable {
  return {
    async [Symbol.asyncDispose]() {
      let stopped = false
      const stop = app.stop().finally(() => (stopped = true))
      while (!stopped) await clock.advance(100)
      await stop
    },
  }
}

test('Retry-After of a waiting service says when the next attempt comes, through what it depends on too', async () => {
  const clock = new ManualClock()
  const db = fake('db')
  const jobs = fake('jobs', { dependsOn: ['db'] })
  db.connect = () => Promise.reject(new Error('not there'))
  const app = createApp({
    ...base,
    clock,
    random: () => 1,
    components: { db: db.definition, jobs: jobs.definition },
  })
  app.service('work', ({ jobs: queue, http }) => void http.get('/work', () => queue.ping()))
  await app.start()
  await using _stop = stopping(app, clock)
  const ask = async (): Promise<string | null> => {
    const answer = await fetch(`${app.address.url}/work`)
    await answer.text()
    return answer.headers.get('retry-after')
  }
  const attempts = async (n: number): Promise<void> => {
    while ((app.init.status()['db']?.attempts ?? 0) < n) await new Promise((resolve) => setImmediate(resolve))
    while (app.init.status()['db']?.state !== 'failed') await new Promise((resolve) => setImmediate(resolve))
  }
  // Waits of 250 ms, 500 ms, 1 s, 2 s, 4 s with this random.
  const waits = [250, 500, 1_000, 2_000, 4_000]
  for (const [at, waitMs] of waits.entries()) {
    await attempts(at + 1)
    assert.equal(await ask(), String(Math.max(1, waitMs / 1_000)))
    if (waitMs === 4_000) {
      await clock.advance(2_500)
      assert.equal(await ask(), '2')
    } else await clock.advance(waitMs)
  }
  db.connect = () => Promise.resolve()
  await clock.advance(1_500)
  await app.init.ready()
  assert.equal((await fetch(`${app.address.url}/work`)).status, 200)
})

test('Retry-After of a service whose start fails says when it is tried again', async () => {
  const clock = new ManualClock()
  let attempts = 0
  const app = createApp({ ...base, clock, random: () => 1 })
  app.service('late', ({ http }) => {
    http.get('/late', () => 'ok')
    return {
      start: () => {
        attempts++
        return attempts < 5 ? Promise.reject(new Error('not yet')) : Promise.resolve()
      },
    }
  })
  await app.start()
  await using _stop = stopping(app, clock)
  for (const [failed, waitMs] of [250, 500, 1_000, 2_000].entries()) {
    while (attempts <= failed) await new Promise((resolve) => setImmediate(resolve))
    await clock.advance(0)
    const answer = await fetch(`${app.address.url}/late`)
    assert.equal(answer.headers.get('retry-after'), String(Math.max(1, waitMs / 1_000)))
    await clock.advance(waitMs)
  }
  assert.equal((await fetch(`${app.address.url}/late`)).status, 200)
})

const until = (signal: AbortSignal): Promise<never> =>
  new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))

test('a start that does not return is told once a minute, by name and for how long, until the app stops', async () => {
  const clock = new ManualClock()
  const lines: RecordedLine[] = []
  const app = createApp({ ...base, clock, logger: recordingLogger(lines) })
  app.service('slow', () => ({ start: until }))
  await app.start()
  await using stop = stopping(app, clock)
  const told = () => lines.filter(({ level, service: name }) => level === 'warn' && name === 'slow')
  await clock.advance(59_999)
  assert.deepEqual(told(), [])
  await clock.advance(1)
  assert.deepEqual(
    told().map(({ message }) => message),
    ['the start of service slow has not returned for 60 s'],
  )
  await clock.advance(9 * 60_000 + 30_000)
  assert.deepEqual(
    told().map(({ runningMs }) => runningMs),
    Array.from({ length: 10 }, (_, minute) => (minute + 1) * 60_000),
  )
  const shown: unknown = await (await fetch(`${app.address.url}/health/slow`)).json()
  assert.deepEqual(shown, {
    name: 'slow',
    state: 'starting',
    needs: [],
    waiting_for: [],
    reason: 'start has not returned for 630 s',
  })
  await stop[Symbol.asyncDispose]()
  await clock.advance(5 * 60_000)
  assert.equal(told().length, 10)
})

test('a start that fails and does not return when it is tried again shows both, and nothing once it has succeeded', async () => {
  const clock = new ManualClock()
  const gate = Promise.withResolvers<void>()
  let starts = 0
  const app = createApp({ ...base, clock, random: () => 1 })
  app.service('late', () => ({
    start: () => (++starts === 1 ? Promise.reject(new Error('not yet')) : gate.promise),
  }))
  await app.start()
  await using _stop = stopping(app, clock)
  const shown = async () => {
    const { state, reason } = (await (await fetch(`${app.address.url}/health/late`)).json()) as {
      readonly state: string
      readonly reason: string | null
    }
    return { state, reason }
  }
  await clock.advance(0)
  assert.deepEqual(await shown(), { state: 'failed', reason: 'not yet' })
  await clock.advance(250 + 7_000)
  assert.equal(starts, 2)
  assert.deepEqual(await shown(), { state: 'failed', reason: 'not yet; start has not returned for 7 s' })
  gate.resolve()
  await clock.advance(0)
  assert.deepEqual(await shown(), { state: 'running', reason: null })
  assert.equal((await fetch(`${app.address.url}/health/constructor`)).status, 404)
})
