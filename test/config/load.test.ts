import assert from 'node:assert/strict'
import { mkdir, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { z } from 'zod'
import { loadConfig, readConfig } from '../../src/config/load.ts'
import { describeProblem } from '../../src/config/problem.ts'
import type { StandardSchema } from '../../src/config/user-section.ts'
import { component, read, shown, temporaryDirectory, usualComponents } from './support.ts'
import { redisSection } from '../../src/components/redis/section.ts'

test('code wins over the environment, that over the file, and that over the default, each with its source', async () => {
  const yaml = 'redis:\n  dial_timeout: 7\n  read_timeout: 7\n  write_timeout: 7\n'
  const env = { REDIS_DIAL_TIMEOUT: '8', REDIS_READ_TIMEOUT: '8' }
  const config = await read({ yaml, env, code: { cache: { dialTimeout: '9s' } } })
  assert.deepEqual(config.problems, [])
  assert.equal(shown(config, 'cache.dial_timeout'), '9s from code')
  assert.equal(shown(config, 'cache.read_timeout'), '8s from env REDIS_READ_TIMEOUT')
  assert.equal(shown(config, 'cache.write_timeout'), '7s from sluice.yaml:4')
  assert.equal(shown(config, 'cache.pool_timeout'), '1s from default')
  assert.equal(config.components['cache']?.values['dialTimeout'], 9_000)
})

test('an empty variable, a blank value in the file and undefined in code leave a field to the next source', async () => {
  const config = await read({
    env: { REDIS_DIAL_TIMEOUT: '', REDIS_READ_TIMEOUT: ' \n' },
    yaml: 'redis:\n  dial_timeout: 7\n  read_timeout:\n',
    code: { cache: { dialTimeout: undefined } },
  })
  assert.deepEqual(config.problems, [])
  assert.equal(shown(config, 'cache.dial_timeout'), '7s from sluice.yaml:2')
  assert.equal(shown(config, 'cache.read_timeout'), '3s from default')
})

test('a component is configured by its own name before its kind, in the file and in the environment', async () => {
  const config = await read({
    yaml: 'redis: { db: 1, pool_size: 2 }\nsessions: { db: 5 }\n',
    env: { REDIS_ADDR: 'cache:6379', SESSIONS_REDIS_ADDR: 'sessions:6379' },
  })
  assert.deepEqual(config.problems, [])
  assert.equal(shown(config, 'cache.db'), '1 from sluice.yaml:1')
  assert.equal(shown(config, 'sessions.db'), '5 from sluice.yaml:2')
  assert.equal(shown(config, 'sessions.pool_size'), '2 from sluice.yaml:1')
  assert.equal(shown(config, 'cache.addr'), 'cache:6379 from env REDIS_ADDR')
  assert.equal(shown(config, 'sessions.addr'), 'sessions:6379 from env SESSIONS_REDIS_ADDR')
})

test('a component and a service can be turned off', async () => {
  const config = await read({
    env: { REDIS_ENABLED: 'off' },
    yaml: 'postgres: { enabled: false }\nservices: { todos: no }\n',
  })
  assert.deepEqual(config.problems, [])
  assert.deepEqual(
    Object.entries(config.components).map(([name, each]) => [name, each.enabled]),
    [
      ['db', false],
      ['cache', false],
      ['sessions', false],
    ],
  )
  assert.deepEqual(config.services, { todos: false })
})

test('a component knows whether anything was configured for it', async () => {
  const config = await read({ env: { POSTGRES_DSN: 'postgres://h/d' }, options: { file: false } })
  assert.equal(config.components['db']?.configured, true)
  assert.equal(config.components['cache']?.configured, false)
})

test('pools and time limits are found by the name of a component, its kind, or another word for it', async () => {
  const components = { ...usualComponents(), files: component('s3', { name: 's3', fields: {} }) }
  const config = await read({
    yaml: 'infrastructure:\n  redis: { workers: 20 }\n  sessions: { workers: 30 }\n  minio: { workers: 8 }\n  timeouts: { postgres: 45, redis: 1m30s, minio: 300s }\n',
    env: { INFRASTRUCTURE_DB_WORKERS: '4', INFRASTRUCTURE_TIMEOUTS_SESSIONS: '5' },
    options: { components },
  })
  assert.deepEqual(config.problems, [])
  const pooling = Object.fromEntries(
    Object.entries(config.components).map(([name, each]) => [name, [each.workers, each.connectTimeoutMs]]),
  )
  assert.deepEqual(pooling, {
    db: [4, 45_000],
    cache: [20, 90_000],
    sessions: [30, 5_000],
    files: [8, 300_000],
  })
  assert.equal(shown(config, 'infrastructure.db.workers'), '4 from env INFRASTRUCTURE_DB_WORKERS')
})

test('the names that deployments already use are understood, with the unit that each has had', async () => {
  const env = {
    APP_PORT: '9090',
    GOROUTINE_POOL_SIZE: '500',
    OTEL_SERVICE_NAME: 'todo',
    OTEL_SERVICE_VERSION: '1.2.3',
    OTEL_LOG_VERBOSITY: 'debug',
    POSTGRES_DSN: 'postgres://u:p@h/d',
    POSTGRES_MAX_OPEN_CONNS: '20',
    POSTGRES_MAX_IDLE_CONNS: '10',
    POSTGRES_CONN_MAX_LIFETIME: '30',
    POSTGRES_CONN_MAX_IDLE_TIME: '5',
    REDIS_ADDR: 'cache:6379',
    REDIS_PASSWORD: 'x',
    REDIS_DB: '2',
    REDIS_MAX_RETRIES: '3',
    REDIS_DIAL_TIMEOUT: '5',
    REDIS_READ_TIMEOUT: '3',
    REDIS_WRITE_TIMEOUT: '3',
    REDIS_POOL_SIZE: '10',
    REDIS_MIN_IDLE_CONNS: '5',
    REDIS_MAX_CONN_AGE: '60',
    REDIS_POOL_TIMEOUT: '4',
    REDIS_IDLE_TIMEOUT: '300',
  }
  const config = await read({
    env,
    options: { components: { postgres: usualComponents()['db']!, redis: component('redis', redisSection) } },
  })
  assert.deepEqual(config.problems.map(describeProblem), [])
  assert.deepEqual(config.warnings, [])
  const used = config.entries
    .filter((entry) => entry.source.startsWith('env '))
    .map((entry) => entry.source.slice(4))
  assert.deepEqual(used.toSorted(), Object.keys(env).toSorted())
  const { postgres, redis } = config.components
  assert.equal(postgres?.values['connMaxLifetime'], 30 * 60_000)
  assert.equal(postgres?.values['connMaxIdleTime'], 5 * 60_000)
  for (const [key, seconds] of [
    ['dialTimeout', 5],
    ['readTimeout', 3],
    ['writeTimeout', 3],
    ['maxConnAge', 60],
    ['poolTimeout', 4],
    ['idleTimeout', 300],
  ] as const) {
    assert.equal(redis?.values[key], seconds * 1_000, key)
  }
  assert.equal(config.app.workers, 500)
})

test('each setting of a nested value is shown by itself, and its secrets are known', async () => {
  const config = await read({
    yaml: 'postgres:\n  multi_config:\n    - name: reports\n      dsn: postgres://u:canary-one@h/reports\n    - name: audit\n      host: h\n      dbname: audit\n      password: canary-two\n',
  })
  assert.deepEqual(config.problems.map(describeProblem), [])
  assert.equal(shown(config, 'db.multi_config.reports.dsn'), 'postgres://***@h/reports from sluice.yaml:2')
  assert.equal(shown(config, 'db.multi_config.audit.password'), '*** from sluice.yaml:2')
  assert.ok(config.secrets.includes('canary-one') && config.secrets.includes('canary-two'))
  assert.doesNotMatch(JSON.stringify(config.entries), /canary/)
})

test('a section for a kind of component that this app lacks is a warning, since apps may share a file', async () => {
  const config = await read({ yaml: 'kafka: { brokers: x }\nminio: {}\n' })
  assert.deepEqual(config.problems, [])
  assert.equal(config.warnings.length, 2)
  assert.match(config.warnings[0] ?? '', /^sluice\.yaml:1 \(kafka\): this app has no component of this kind/)
})

test('SLUICE_CONFIG names the file, and an option in code wins over it', async () => {
  await using directory = await temporaryDirectory()
  await mkdir(join(directory.path, 'conf'))
  await writeFile(join(directory.path, 'conf', 'a.yaml'), 'app: { port: 1 }')
  await writeFile(join(directory.path, 'conf', 'b.yaml'), 'app: { port: 2 }')
  const env = { SLUICE_CONFIG: 'conf/a.yaml' }
  const cwd = directory.path
  assert.equal(shown(await readConfig({ env, cwd }), 'app.port'), '1 from conf/a.yaml:1')
  assert.equal(shown(await readConfig({ env, cwd, file: 'conf/b.yaml' }), 'app.port'), '2 from conf/b.yaml:1')
  assert.equal(shown(await readConfig({ env, cwd, file: false }), 'app.port'), '8080 from default')
  await rename(join(cwd, 'conf', 'a.yaml'), join(cwd, 'sluice.yaml'))
  assert.equal(shown(await readConfig({ env: {}, cwd }), 'app.port'), '1 from sluice.yaml:1')
})

test('what code says for the app and for sections wins, in camelCase', async () => {
  const config = await read({
    env: { APP_PORT: '1', REDIS_DB: '1' },
    options: {
      overrides: {
        app: { port: 0, logLevel: 'error' },
        redis: { db: 4 },
        services: { todos: false },
        infrastructure: { cache: { workers: 3 } },
      },
    },
  })
  assert.deepEqual(config.problems.map(describeProblem), [])
  assert.equal(config.app.port, 0)
  assert.equal(config.app.logLevel, 'error')
  assert.equal(config.components['sessions']?.values['db'], 4)
  assert.equal(config.components['cache']?.workers, 3)
  assert.deepEqual(config.services, { todos: false })
})

test('sections of the user take any Standard Schema, with values of every source', async () => {
  const billing = z.object({
    apiKey: z.string().min(3),
    rate: z.number(),
    live: z.boolean(),
    retries: z.coerce.number().default(4),
    nested: z.object({ a: z.number() }),
  })
  const config = await read({
    yaml: 'billing:\n  rate: 5\n  nested: { a: 1 }\n',
    env: { BILLING_API_KEY: 'canary-key', BILLING_RATE: '7.5', BILLING_LIVE: 'true' },
    options: { user: { billing } },
  })
  assert.deepEqual(config.problems.map(describeProblem), [])
  assert.deepEqual(config.user['billing'], {
    apiKey: 'canary-key',
    rate: 7.5,
    live: true,
    retries: 4,
    nested: { a: 1 },
  })
  assert.equal(shown(config, 'billing.apiKey'), '*** from env BILLING_API_KEY')
  assert.equal(shown(config, 'billing.rate'), '7.5 from env BILLING_RATE')
  assert.equal(shown(config, 'billing.retries'), '4 from default')
  assert.deepEqual(config.secrets, ['canary-key'])
})

test('a number stays text where the schema of the user wants text', async () => {
  const config = await read({
    env: { BILLING_ACCOUNT: '00123', BILLING_LIMIT: '5' },
    options: { user: { billing: z.object({ account: z.string(), limit: z.number() }) } },
  })
  assert.deepEqual(config.user['billing'], { account: '00123', limit: 5 })
})

test('faults of the user’s sections are reported with the others, without values', async () => {
  const schema = z.strictObject({ apiKey: z.string().max(3), rate: z.number() })
  const NOT_SET =
    'not set (billing.rate): Invalid input: expected number, received undefined; set BILLING_RATE, or billing.rate in sluice.yaml'
  const { problems } = await read({
    yaml: 'billing:\n  rtae: 5\n  apiKey: canary\n',
    env: { APP_PORT: 'x' },
    options: { user: { billing: schema } },
  })
  const lines = problems.map(describeProblem)
  assert.equal(lines.length, 4, lines.join('\n'))
  assert.ok(lines.some((line) => line.startsWith('sluice.yaml:3 (billing.apiKey): Too big')))
  assert.ok(lines.some((line) => line === NOT_SET))
  assert.doesNotMatch(lines.join('\n'), /canary/)
})

test('what a fault of a user’s section says to set, sets it', async () => {
  const options = { user: { billing: z.object({ apiKey: z.string() }) } }
  const { problems } = await read({ options })
  assert.deepEqual(problems.map(describeProblem), [
    'not set (billing.apiKey): Invalid input: expected string, received undefined; set BILLING_API_KEY, or billing.apiKey in sluice.yaml',
  ])
  assert.deepEqual((await read({ env: { BILLING_API_KEY: 'x' }, options })).problems, [])
  assert.deepEqual((await read({ yaml: 'billing: { apiKey: x }', options })).problems, [])
})

test('faults of the file are told in the order of its lines', async () => {
  const { problems } = await read({
    env: { APP_PORT: 'x' },
    yaml: 'redis:\n  db: x\napp:\n  host: 1\nbilling: 1\npostgres:\n  max_open_conns: 0\nkafak: {}\nservices:\n  x: 1\n',
    options: { user: { billing: z.object({}) } },
  })
  const lines = problems.map(({ source }) => /^sluice\.yaml:(\d+)/.exec(source)?.[1]).filter(Boolean)
  assert.deepEqual(lines, ['2', '4', '5', '7', '8', '10'])
  assert.ok(problems.some(({ source }) => source === 'env APP_PORT'))
})

test('the address of a server under a name of other programs is worth a warning where ours is not set', async () => {
  const env = { DATABASE_URL: 'postgres://db/x', POSTGRES_URL: 'x', PGHOST: 'db', REDIS_URL: 'redis://cache' }
  const { warnings, problems } = await read({ env })
  assert.deepEqual(problems, [])
  assert.deepEqual(warnings, [
    'env DATABASE_URL is not read; the address of postgres is set by POSTGRES_DSN',
    'env POSTGRES_URL is not read; the address of postgres is set by POSTGRES_DSN',
    'env PGHOST is not read; the address of postgres is set by POSTGRES_DSN',
    'env REDIS_URL is not read; the address of redis is set by REDIS_ADDR',
  ])
  const ours = { POSTGRES_DSN: 'postgres://db/x', REDIS_ADDR: 'cache:6379' }
  assert.deepEqual((await read({ env: { ...env, ...ours } })).warnings, [])
  assert.deepEqual((await read({ env: { DATABASE_URL: 'mysql://db/x' } })).warnings, [])
  assert.deepEqual((await read({ env, options: { components: {} } })).warnings, [])
})

test('APP_WORKERS is the preferred name of GOROUTINE_POOL_SIZE', async () => {
  const env = { GOROUTINE_POOL_SIZE: '5' }
  assert.equal(shown(await read({ env }), 'app.workers'), '5 from env GOROUTINE_POOL_SIZE')
  assert.equal(
    shown(await read({ env: { ...env, APP_WORKERS: '6' } }), 'app.workers'),
    '6 from env APP_WORKERS',
  )
})

test('a schema that throws, or answers later, is a fault or a value like any other', async () => {
  const throwing: StandardSchema = {
    '~standard': {
      version: 1,
      vendor: 'x',
      validate: () => {
        throw new Error('canary')
      },
    },
  }
  const slow: StandardSchema = {
    '~standard': { version: 1, vendor: 'x', validate: (value) => Promise.resolve({ value: [value] }) },
  }
  const { problems, user } = await read({ yaml: 'slow: { a: 1 }', options: { user: { throwing, slow } } })
  assert.deepEqual(problems.map(describeProblem), ['not set (throwing): the schema threw an error'])
  assert.equal(JSON.stringify(user['slow']), '[{"a":1}]')
})

test('a component or a section of the user with the name of another section is a fault', async () => {
  const { problems } = await read({
    options: {
      components: { services: component('redis', redisSection), cache: component('redis', redisSection) },
      user: { cache: z.object({}) },
    },
  })
  assert.deepEqual(problems.map(describeProblem), [
    'code (services): expected a name that no other section has',
    'code (cache): expected a name that no other section has',
  ])
})

test('a configuration without any source is right, and loads', async () => {
  await using directory = await temporaryDirectory()
  const config = await loadConfig({ env: {}, cwd: directory.path })
  assert.equal(config.app.port, 8080)
  assert.equal(config.file, undefined)
  assert.ok(config.entries.every((entry) => entry.source === 'default'))
})
