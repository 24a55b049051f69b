import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inspect } from 'node:util'
import { section as postgresSection } from '../../src/components/postgres/section.ts'
import { redisSection } from '../../src/components/redis/section.ts'
import { redactUrl } from '../../src/config/redact.ts'
import { configError } from '../../src/config/problem.ts'
import { createRedactor } from '../../src/telemetry/redact.ts'
import { read, shown } from './support.ts'

const CANARY = 'cAnArY'

/** Passwords that hold what separates the parts of a connection string, raw and percent-encoded. */
const PASSWORDS = [
  '@',
  ':',
  '/',
  '#',
  '%',
  '?',
  '&',
  '=',
  ' ',
  "'",
  '"',
  '\\',
  '[',
  ']',
  ',',
  ';',
  '%40',
  '%zz',
  '@@',
  ':@/',
  '#?/@:',
].flatMap((mark) => [`${CANARY}${mark}${CANARY}`, `${mark}${CANARY}`, `${CANARY}${mark}`])

const PLACES = [
  'db.example:5432/app',
  'db.example/app',
  'db.example:5432',
  'db.example',
  '[::1]:5432/app',
  '[2001:db8::1]/app',
  'one:5432,two:5433/app',
  '%2Fvar%2Frun%2Fpostgresql/app',
  '/app?host=/var/run/postgresql',
  'db.example/app?sslmode=require',
  'db:port/app',
  '',
]

const FORMS = [
  ...PASSWORDS.flatMap((password) => [
    `user:${password}`,
    `user:${encodeURIComponent(password)}`,
    `:${password}`,
  ]).map((user) => (scheme: string, place: string) => `${scheme}://${user}@${place}`),
  ...PASSWORDS.map(
    (password) => (scheme: string, place: string) =>
      `${scheme}://user@${place}${place.includes('?') ? '&' : '?'}password=${encodeURIComponent(password)}`,
  ),
]

for (const [variable, scheme] of [
  ['POSTGRES_DSN', 'postgres'],
  ['POSTGRES_DSN', 'postgresql'],
  ['REDIS_ADDR', 'redis'],
  ['REDIS_ADDR', 'rediss'],
] as const) {
  test(`no password of a ${scheme} connection string is ever shown, whether it is accepted or not`, async () => {
    let accepted = 0
    let refused = 0
    for (const [index, form] of FORMS.entries()) {
      // Three places each, so that every place is met by every third form.
      for (const step of [0, 4, 8]) {
        const text = form(scheme, PLACES[(index + step) % PLACES.length] ?? '')
        const config = await read({ env: { [variable]: text }, options: { file: false } })
        if (config.problems.length === 0) accepted += 1
        else refused += 1
        const { secrets: _secrets, components: _components, ...printable } = config
        const all = inspect(printable, { depth: 10 }) + inspect(configError(config.problems), { depth: 10 })
        assert.ok(
          !all.includes(CANARY),
          `${text} shows its password: ${all.match(new RegExp(`.*${CANARY}.*`))?.[0]}`,
        )
      }
    }
    assert.ok(accepted > 100 && refused > 100, `${accepted} accepted, ${refused} refused`)
  })
}

test('passwords in the forms of other drivers are never shown', async () => {
  for (const text of [
    `host=db user=u password=${CANARY} dbname=app`,
    `host=db user=u password='${CANARY} ${CANARY}' dbname=app`,
    `host=db user=u password = ${CANARY}`,
    `host=db user=u password='${CANARY}`,
    `Server=db;User Id=u;Password=${CANARY};Database=app`,
    `user:${CANARY}@db:5432`,
    `PGPASSWORD=${CANARY} psql`,
    `redis://cache:6379?auth=${CANARY}`,
    `postgres://u@h/d?sslpassword=${CANARY}`,
    `postgres://u@h/d?pass%77ord=${CANARY}`,
    `postgres:/u:${CANARY}@h/d`,
    `postgres://u:${CANARY}@h/d\n`,
    `"postgres://u:${CANARY}@h/d"`,
    `POSTGRES_DSN=postgres://u:${CANARY}@h/d`,
    `Server=h;Password=${CANARY};`,
    `user=u;pwd=${CANARY};server=h`,
    `host=h user=u password= '${CANARY}`,
    `jdbc:postgresql://h/db?user=a&password=${CANARY}`,
    `postgres://u:${CANARY}`,
    `postgres://u:${CANARY}/d`,
    `postgres://one:5432,u:${CANARY}`,
    `postgres://h/d?server=h%3BPassword%3D${CANARY}`,
    `postgres://h/d?to=postgres%3A%2F%2Fu%3A${CANARY}%40h`,
    `postgres%3A%2F%2Fu%3A${CANARY}%40h`,
  ]) {
    assert.ok(!redactUrl(text).includes(CANARY), redactUrl(text))
    for (const variable of [
      'POSTGRES_DSN',
      'REDIS_ADDR',
      'APP_PORT',
      'REDIS_DIAL_TIMEOUT',
      'LOG_LEVEL',
      'APP_HOST',
      'APP_HOSTS',
      'OTEL_SERVICE_NAME',
      'REDIS_USERNAME',
      'REDIS_KEY_PREFIX',
      'POSTGRES_DATA_DIR',
    ]) {
      const config = await read({ env: { [variable]: text }, options: { file: false } })
      const { problems, warnings, entries } = config
      const printed = inspect([problems, warnings, entries, configError(problems)], { depth: 10 })
      assert.ok(!printed.includes(CANARY), `${variable}: ${printed}`)
    }
  }
})

test('a redacted connection string still says where it leads', () => {
  assert.equal(
    redactUrl('postgres://u:p@db:5432/app?sslmode=require'),
    'postgres://***@db:5432/app?sslmode=require',
  )
  assert.equal(redactUrl('postgres://u:p@a:1,b:2/app'), 'postgres://***@a:1,b:2/app')
  assert.equal(redactUrl('redis://cache:6379/0'), 'redis://cache:6379/0')
  assert.equal(redactUrl('redis://:x@[::1]:6379'), 'redis://***@[::1]:6379')
  assert.equal(redactUrl('cache:6379'), 'cache:6379')
  assert.equal(redactUrl('host=db dbname=app'), 'host=db dbname=app')
})

test('values without credentials are shown as they are, also those with marks of an address', async () => {
  for (const text of [
    'a@b.example',
    'todo:sessions:',
    'auth:token:',
    'x=y',
    'http://proxy:8080/a:b',
    '100% @home',
    '/data/a b',
  ]) {
    const config = await read({ env: { REDIS_KEY_PREFIX: text }, options: { file: false } })
    assert.equal(shown(config, 'cache.key_prefix'), `${text} from env REDIS_KEY_PREFIX`)
  }
})

test('the message of a schema that quotes a value is shown without its credentials', async () => {
  const schema = {
    '~standard': {
      version: 1 as const,
      vendor: 'test',
      validate: (value: unknown) => ({ issues: [{ message: `got ${JSON.stringify(value)}` }] }),
    },
  }
  const config = await read({
    yaml: `mail:\n  url: smtp://u:${CANARY}@h\n  password: ${CANARY}-2`,
    options: { user: { mail: schema } },
  })
  assert.equal(config.problems.length, 1)
  assert.ok(!inspect(config.problems).includes(CANARY), inspect(config.problems))
})

test('usual connection strings are accepted, with the way they write hosts and passwords', () => {
  for (const dsn of [
    'postgres://localhost/app',
    'postgresql://u:p@localhost:5432/app?sslmode=disable',
    'postgres://u:p%40ss%3A%2F%23%25@[::1]:5432/app',
    'postgres:///app?host=/var/run/postgresql',
    'host=localhost user=postgres password=x dbname=app port=5432 sslmode=disable',
    "host=localhost user=postgres password='a b' dbname=app",
  ]) {
    assert.equal(postgresSection.fields.dsn.parse(dsn).ok, true, dsn)
  }
  for (const addr of [
    'cache:6379',
    'localhost:6379',
    'redis://cache',
    'rediss://u:p%40@cache:6380/1',
    'redis://[::1]:6379',
    'unix:///run/redis.sock',
  ]) {
    assert.equal(redisSection.fields.addr.parse(addr).ok, true, addr)
  }
})

test('a redactor made with the secrets of the configuration finds them in any text', async () => {
  const { secrets } = await read({
    env: {
      POSTGRES_DSN: `postgres://u:${CANARY}%40x@h/d`,
      REDIS_PASSWORD: `${CANARY}-redis`,
      REDIS_ADDR: `redis://:${CANARY}-addr@h`,
    },
    options: { file: false },
  })
  const redactor = createRedactor(secrets)
  for (const text of [
    `failed with ${CANARY}@x`,
    `${CANARY}%40x`,
    `auth ${CANARY}-redis`,
    `<${CANARY}-addr>`,
  ]) {
    assert.ok(!redactor.text(text).includes(CANARY), redactor.text(text))
  }
})
