import assert from 'node:assert/strict'
import { createServer } from 'node:net'
import { test } from 'node:test'
import { createApp } from '../../src/app/app.ts'
import { hasCode } from '../../src/core/errors.ts'
import { silentLogger, type Logger } from '../../src/telemetry/log.ts'
import { assertNoLeaks, snapshotResources } from '../../src/testing/leak-check.ts'
import { ManualClock } from '../../src/testing/manual-clock.ts'
import { soakCycles } from '../support/soak.ts'
import { fake } from './fake-component.ts'

const base = { name: 'demo', port: 0, host: '127.0.0.1', env: {}, logger: silentLogger } as const

test('components connect in waves, and close in reverse', async () => {
  const order: string[] = []
  const part = (name: string, dependsOn: readonly string[]) => {
    const made = fake(name, { dependsOn })
    made.connect = () => Promise.resolve(void order.push(`+${name}`))
    made.close = () => Promise.resolve(void order.push(`-${name}`))
    return made.definition
  }
  const app = createApp({
    ...base,
    components: { jobs: part('jobs', ['db', 'cache']), db: part('db', []), cache: part('cache', ['db']) },
  })
  await app.start()
  await app.init.ready()
  assert.equal(app.init.progress, 1)
  assert.deepEqual(
    app.init.timeline.filter(({ state }) => state === 'ready').map(({ component }) => component),
    ['db', 'cache', 'jobs'],
  )
  assert.equal(await app.stop(), 0)
  assert.deepEqual(order, ['+db', '+cache', '+jobs', '-jobs', '-cache', '-db'])
})

test('a close that hangs is given up, one that throws is reported, and all others close', async () => {
  const logged: (string | undefined)[] = []
  const logger: Logger = {
    ...silentLogger,
    error: (_fields, message) => void logged.push(message),
    child: () => logger,
  }
  const hangs = fake('hangs')
  hangs.close = () => new Promise(() => {})
  const throws = fake('throws')
  throws.close = () => Promise.reject(new Error('no'))
  const works = fake('works')
  const app = createApp({
    ...base,
    logger,
    components: { works: works.definition, throws: throws.definition, hangs: hangs.definition },
    shutdown: { closeTimeout: '50ms' },
  })
  await app.start()
  await app.init.ready()
  assert.equal(await app.stop(), 70)
  assert.deepEqual(works.calls, ['connect', 'close'])
  assert.deepEqual(logged, ['shutdown: close hangs failed', 'shutdown: close throws failed'])
})

test('a component that is away for an hour is spoken of at most once a minute', async () => {
  const clock = new ManualClock()
  const lines: number[] = []
  const logger: Logger = {
    ...silentLogger,
    warn: () => void lines.push(clock.monotonic()),
    child: () => logger,
  }
  const db = fake('db')
  db.connect = () => Promise.reject(new Error('connect ECONNREFUSED'))
  const app = createApp({ ...base, logger, clock, components: { db: db.definition } })
  await app.start()
  while (db.calls.length === 0) await new Promise((resolve) => setImmediate(resolve))
  await clock.advance(3_600_000)
  // The first failure after a minute is told, and failures are at most 30 s apart.
  for (const [i, at] of [...lines, clock.monotonic()].entries()) {
    const gap = at - (lines[i - 1] ?? 0)
    assert.ok(gap <= 90_000, `${gap} ms without a line`)
    assert.ok(i === 0 || i === lines.length || gap >= 60_000, `lines ${gap} ms apart`)
  }
  assert.equal(await app.stop(), 0)
})

test('a port in use rejects the start with SLUICE_LISTEN, and no component is connected', async () => {
  const other = createServer()
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve))
  const address = other.address()
  assert.ok(typeof address === 'object' && address !== null)
  const db = fake('db')
  const app = createApp({ ...base, port: address.port, components: { db: db.definition } })
  await assert.rejects(
    app.start(),
    (error) =>
      hasCode(error, 'SLUICE_LISTEN') && /in use/i.test(error.message) && /APP_PORT/.test(error.hint ?? ''),
  )
  await app.stop()
  assert.deepEqual(db.calls, [])
  await new Promise((resolve) => other.close(resolve))
})

test('stop before start, twice, and during start are all fine', async () => {
  const idle = createApp(base)
  assert.equal(await idle.stop(), 0)
  await assert.rejects(idle.start(), (error) => hasCode(error, 'SLUICE_CLOSED'))

  const app = createApp({ ...base, components: { db: fake('db').definition } })
  const starting = app.start()
  const codes = await Promise.all([app.stop(), app.stop()])
  assert.deepEqual(codes, [0, 0])
  await assert.rejects(starting)
})

test('what start opened is closed again: nothing is left after many cycles', async () => {
  const cycle = async (): Promise<void> => {
    const app = createApp({ ...base, logger: silentLogger, components: { db: fake('db').definition } })
    app.service('hello', ({ db, http }) => void http.get('/', async () => ({ answer: await db.ping() })))
    await app.start()
    await app.init.ready()
    await app.stop()
  }
  await cycle()
  const before = snapshotResources()
  const cycles = soakCycles(50, 1_000) // Each waits 25 ms for its components to connect.
  for (let index = 0; index < cycles; index++) await cycle()
  await assertNoLeaks(before, { within: '5s' })
})

test('a wrong configuration is told in full before anything is created', async () => {
  const db = fake('db')
  const app = createApp({
    ...base,
    port: -1,
    components: { db: db.definition },
    config: { infrastructure: { db: { workers: 0 } }, app: { shutdownTimeout: 'soon' } },
  })
  await assert.rejects(
    app.start(),
    (error) =>
      hasCode(error, 'SLUICE_CONFIG') &&
      /port/.test(error.message) &&
      /workers/.test(error.message) &&
      /shutdownTimeout/.test(error.message),
  )
  assert.deepEqual(db.calls, [])
})
