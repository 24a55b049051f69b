import assert from 'node:assert/strict'
import { test } from 'node:test'
import { describeProblem } from '../../src/config/problem.ts'
import { loadConfig } from '../../src/config/load.ts'
import { hasCode } from '../../src/core/errors.ts'
import { read, temporaryDirectory, type Written } from './support.ts'

interface Bad extends Written {
  readonly what: string
  /** The one problem, as it is described. */
  readonly says: RegExp
}

const env = (name: string, value: string, says: RegExp): Bad => ({
  what: `${name}=${JSON.stringify(value)}`,
  env: { [name]: value },
  says,
})
const yaml = (text: string, says: RegExp): Bad => ({
  what: `sluice.yaml ${JSON.stringify(text)}`,
  yaml: text,
  says,
})
const code = (overrides: Record<string, object>, says: RegExp): Bad => ({
  what: `code ${JSON.stringify(overrides)}`,
  code: overrides,
  says,
})

const TABLE: readonly Bad[] = [
  // Numbers.
  env('APP_PORT', 'abc', /^env APP_PORT \(app\.port\): expected integer, 0 to 65535, got "abc"$/),
  env('PORT', 'abc', /^env PORT \(app\.port\): expected integer/),
  env('APP_PORT', '65536', /0 to 65535, got "65536"$/),
  env('APP_PORT', '-1', /0 to 65535, got "-1"$/),
  env('APP_PORT', '80.5', /got "80.5"$/),
  env('APP_PORT', '8080 # web', /got "8080 # web"$/),
  env('APP_PORT', '0x50', /got "0x50"$/),
  env('APP_PORT', '1e3', /got "1e3"$/),
  env('APP_PORT', '８０８０', /integer/),
  env('APP_PORT', '99999999999999999999', /got "99999999999999999999"$/),
  env('APP_PORT', 'Infinity', /got "Infinity"$/),
  env('APP_PORT', 'undefined', /got "undefined"$/),
  env(
    'GOROUTINE_POOL_SIZE',
    '0',
    /^env GOROUTINE_POOL_SIZE \(app\.workers\): expected integer, 1 to 1000000/,
  ),
  env('REDIS_DB', 'primary', /^env REDIS_DB \((cache|sessions)\.db\): expected integer/),
  env('POSTGRES_MAX_OPEN_CONNS', 'ten', /\(db\.max_open_conns\): expected integer, 1 to 10000, got "ten"$/),
  yaml(
    'app: { port: "eighty" }',
    /^sluice\.yaml:1 \(app\.port\): expected integer, 0 to 65535, got "eighty"$/,
  ),
  yaml('app:\n  port: 8080.5\n', /^sluice\.yaml:2 \(app\.port\).*got 8080\.5$/),
  yaml('app:\n  port: .inf\n', /got Infinity$/),
  yaml('app:\n  port: [80]\n', /got a list$/),
  yaml('app:\n  port: { number: 80 }\n', /got a mapping$/),
  yaml('app:\n  port: true\n', /got true$/),
  code({ cache: { db: '3rd' } }, /^code \(cache\.db\): expected integer.*got "3rd"$/),
  code({ cache: { db: Number.NaN } }, /got NaN$/),
  code({ cache: { db: () => 1 } }, /got a function$/),
  // Durations.
  env(
    'REDIS_DIAL_TIMEOUT',
    '5 parsecs',
    /duration such as '5s'; a bare number counts seconds.*got "5 parsecs"$/,
  ),
  env('REDIS_DIAL_TIMEOUT', '-5', /got "-5"$/),
  env('REDIS_DIAL_TIMEOUT', '5S', /got "5S"$/),
  env('REDIS_DIAL_TIMEOUT', '0.001', /at least 10ms, got "0\.001"$/),
  env('POSTGRES_CONN_MAX_LIFETIME', 'PT1H', /a bare number counts minutes.*got "PT1H"$/),
  env('APP_HEALTH_INTERVAL', '2h', /100ms to 1h, got "2h"$/),
  yaml('redis: { dial_timeout: soon }', /^sluice\.yaml:1 \(redis\.dial_timeout\)/),
  yaml('redis: { dial_timeout: true }', /got true$/),
  code({ cache: { dialTimeout: -1 } }, /^code \(cache\.dialTimeout\).*got -1$/),
  // Sizes, switches, choices, lists.
  env('APP_BODY_LIMIT', '1 megabyte', /size such as '64mb'; a bare number counts bytes/),
  env('APP_BODY_LIMIT', '2gb', /1b to 1gb, got "2gb"$/),
  env(
    'REDIS_ENABLED',
    'fasle',
    /^env REDIS_ENABLED .*: expected true or false \(or yes\/no, on\/off, 1\/0\), got "fasle"$/,
  ),
  env('REDIS_ENABLED', '2', /expected true or false/),
  yaml('redis: { enabled: nope }', /\(redis\.enabled\): expected true or false/),
  code({ cache: { enabled: 'yes' } }, /^code \(cache\.enabled\): expected true or false, got "yes"$/),
  env('OTEL_LOG_VERBOSITY', 'verbose', /expected one of debug, info, warn, error, silent, got "verbose"$/),
  env('LOG_LEVEL', 'INFO ish', /^env LOG_LEVEL/),
  // Text.
  yaml(
    'app: { version: 1.10 }',
    /^sluice\.yaml:1 \(app\.version\): expected text; write it in quotes, got 1\.1$/,
  ),
  yaml('redis: { password: 123456 }', /expected text; write it in quotes, got \*\*\*$/),
  yaml('app: { host: [] }', /expected text, got a list$/),
  yaml('app: { host: "" }', /expected text that is not empty/),
  yaml('app: { host: "a\\0b" }', /expected text without a NUL character/),
  // Connection strings.
  env('POSTGRES_DSN', 'mysql://u:canary@h/d', /^env POSTGRES_DSN \(db\.dsn\)/),
  env('POSTGRES_DSN', 'localhost', /^env POSTGRES_DSN \(db\.dsn\)/),
  env('REDIS_ADDR', 'http://:canary@cache:6379', /^env REDIS_ADDR/),
  env('REDIS_ADDR', 'cache:port', /^env REDIS_ADDR/),
  env('REDIS_ADDR', 'redis://:canary@cache:6379/zero', /^env REDIS_ADDR/),
  // Keys that nobody knows, with the nearest one.
  yaml(
    'redis:\n  adrr: cache:6379\n',
    /^sluice\.yaml:2 \(redis\.adrr\): expected a known key; did you mean addr\?$/,
  ),
  yaml('redis: { dialTimout: 5 }', /did you mean dial_timeout\?$/),
  yaml('redis: { pool-size: 5 }', /did you mean pool_size\?$/),
  yaml('redis: { colour: red }', /expected a known key: addr, db, dial_timeout, enabled/),
  yaml('rediss: {}', /^sluice\.yaml:1 \(rediss\): expected a known section; did you mean redis\?$/),
  yaml('postgers: {}', /did you mean postgres\?$/),
  yaml(
    'http: {}',
    /expected a known key: app, cache, db, infrastructure, postgres, redis, services, sessions$/,
  ),
  yaml(
    'services: { todso: false }',
    /^sluice\.yaml:1 \(services\.todso\): expected a known service; did you mean todos\?$/,
  ),
  yaml('services: { todos: maybe }', /\(services\.todos\): expected true or false/),
  yaml('services: [todos]', /\(services\): expected a mapping/),
  yaml(
    'infrastructure: { redis: { wokers: 3 } }',
    /\(infrastructure\.redis\.wokers\): expected a known key; did you mean workers\?$/,
  ),
  yaml('infrastructure: { reids: { workers: 3 } }', /\(infrastructure\.reids\).*did you mean redis\?$/),
  yaml('infrastructure: { redis: { workers: 0 } }', /expected integer, 1 to 100000, got 0$/),
  yaml('infrastructure: { redis: 5 }', /\(infrastructure\.redis\): expected a mapping/),
  yaml(
    'infrastructure: { timeouts: { redis: never } }',
    /\(infrastructure\.timeouts\.redis\): expected duration/,
  ),
  yaml('infrastructure: { timeouts: { resid: 5 } }', /did you mean redis\?$/),
  env(
    'INFRASTRUCTURE_CACHE_WORKERS',
    'many',
    /^env INFRASTRUCTURE_CACHE_WORKERS \(infrastructure\.cache\.workers\)/,
  ),
  yaml('redis: cache:6379', /^sluice\.yaml:1 \(redis\): expected a mapping, got \*\*\*$/),
  code({ cache: { dial_timeout: 500, dialTimeout: 600 } }, /expected dial_timeout once, in one spelling$/),
  code({ cache: { addres: 'cache:6379' } }, /^code \(cache\.addres\).*did you mean addr\?$/),
  code({ db: { maxConns: 4 } }, /^code \(db\.maxConns\).*did you mean minConns\?$/),
  // Settings that contradict each other.
  {
    what: 'drain longer than shutdown',
    env: { APP_DRAIN_DELAY: '30', APP_SHUTDOWN_TIMEOUT: '25' },
    says: /^env APP_DRAIN_DELAY \(app\.drain_delay\): expected less than shutdown_timeout.*got 30s$/,
  },
  {
    what: 'more idle than open',
    env: { POSTGRES_MIN_CONNS: '9', POSTGRES_MAX_OPEN_CONNS: '4' },
    says: /^env POSTGRES_MIN_CONNS \(db\.min_conns\): expected at most max_open_conns \(4\), got 9$/,
  },
  {
    what: 'more idle than the pool',
    code: { cache: { minIdleConns: 3, poolSize: 2 } },
    says: /^code \(cache\.minIdleConns\).*2.*got 3$/,
  },
  // The file itself.
  {
    what: 'a file that is named and not there',
    env: { SLUICE_CONFIG: 'other.yaml' },
    says: /^env SLUICE_CONFIG other\.yaml: expected a file that exists$/,
  },
  { what: 'a directory', env: { SLUICE_CONFIG: '/' }, says: /expected a regular file$/ },
  {
    what: 'bytes that are no UTF-8',
    yaml: new Uint8Array([0x61, 0x3a, 0x20, 0xff, 0xfe]),
    says: /expected text in UTF-8$/,
  },
]

test('the table holds at least sixty bad configurations', () => {
  assert.ok(TABLE.length >= 60, `${TABLE.length} rows`)
})

for (const row of TABLE) {
  test(`a bad configuration is told with its place and what was expected: ${row.what}`, async () => {
    const { problems } = await read(row)
    assert.equal(problems.length, 1, problems.map(describeProblem).join('\n'))
    const text = describeProblem(problems[0]!)
    assert.match(text, row.says)
    assert.doesNotMatch(text, /canary/)
  })
}

test('all faults of all sources are reported by one error with the code SLUICE_CONFIG', async () => {
  const reading = read({
    env: { APP_PORT: 'abc', REDIS_DB: 'x', POSTGRES_DSN: 'mysql://u:canary@h/d' },
    yaml: 'redis:\n  adrr: x\nservices:\n  nope: false\n',
    code: { db: { maxOpenConns: 0 } },
  })
  const { problems } = await reading
  assert.equal(problems.length, 6, problems.map(describeProblem).join('\n'))

  await using directory = await temporaryDirectory()
  await assert.rejects(
    loadConfig({ env: { APP_PORT: 'abc', GOROUTINE_POOL_SIZE: '-1' }, cwd: directory.path }),
    (error) => {
      assert.ok(hasCode(error, 'SLUICE_CONFIG'))
      assert.match(
        error.message,
        /^the configuration has 2 faults:\n {2}- env APP_PORT .*\n {2}- env GOROUTINE_POOL_SIZE /,
      )
      const problems = error.details?.['problems']
      assert.ok(Array.isArray(problems) && problems.length === 2)
      return true
    },
  )
})

test('a fault in a variable that two components read is reported once', async () => {
  const { problems } = await read({
    env: { REDIS_DIAL_TIMEOUT: 'x', CACHE_REDIS_DB: 'y', SESSIONS_REDIS_DB: 'y' },
  })
  assert.deepEqual(problems.map((problem) => problem.source).toSorted(), [
    'env CACHE_REDIS_DB',
    'env REDIS_DIAL_TIMEOUT',
    'env SESSIONS_REDIS_DB',
  ])
})

test('a file with thousands of faults lists fifty of them in its message', async () => {
  const text = `redis:\n${Array.from({ length: 800 }, (_, index) => `  zz${index}: 1`).join('\n')}\n`
  await using directory = await temporaryDirectory()
  const { problems } = await read({ yaml: text })
  assert.equal(problems.length, 800)
  const { configError } = await import('../../src/config/problem.ts')
  const error = configError(problems)
  assert.match(error.message, /and 750 more$/)
  assert.equal(error.message.split('\n').length, 52)
  assert.ok(directory.path)
})
