import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isServiceLink, mistypedVariables } from '../../src/config/environment.ts'
import { editDistance, nearest } from '../../src/config/nearest.ts'
import { read, shown } from './support.ts'

const KNOWN = new Set([
  'REDIS_ADDR',
  'REDIS_DB',
  'REDIS_PASSWORD',
  'REDIS_DIAL_TIMEOUT',
  'POSTGRES_DSN',
  'POSTGRES_MAX_OPEN_CONNS',
  'APP_PORT',
  'OTEL_SERVICE_NAME',
])

test('a mistyped variable is a warning with the nearest name, and the app starts', async () => {
  const config = await read({ env: { REDIS_ADRR: 'cache:6379', POSTGRES_MAX_OPEN_CONN: '5' } })
  assert.deepEqual(config.problems, [])
  assert.deepEqual(config.warnings, [
    'env REDIS_ADRR is not known; did you mean REDIS_ADDR?',
    'env POSTGRES_MAX_OPEN_CONN is not known; did you mean POSTGRES_MAX_OPEN_CONNS?',
  ])
})

test('variables of others are left alone', () => {
  const foreign = {
    PATH: '/bin',
    HOME: '/root',
    POSTGRES_USER: 'u',
    POSTGRES_PASSWORD: 'p',
    POSTGRES_DB: 'd',
    PGHOST: 'h',
    REDIS_HOST: 'h',
    REDIS_TLS: '1',
    OTEL_SERVICE_NAMES: 'x',
    OTEL_EXPORTER_OTLP_ENDPOINT: 'x',
    APP_ENV: 'test',
    APP_SECRET: 'x',
    ADDR: 'x',
    REDIS_: 'x',
    '': 'x',
    REDIS_ADRR: '',
  }
  assert.deepEqual(mistypedVariables(foreign, KNOWN), [])
})

test('what Kubernetes puts into the environment for a service is never a setting', async () => {
  const links = {
    REDIS_PORT: 'tcp://10.0.0.7:6379',
    REDIS_PORT_6379_TCP: 'tcp://10.0.0.7:6379',
    REDIS_PORT_6379_TCP_ADDR: '10.0.0.7',
    REDIS_PORT_6379_TCP_PROTO: 'tcp',
    REDIS_SERVICE_HOST: '10.0.0.7',
    REDIS_SERVICE_PORT: '6379',
    REDIS_SERVICE_PORT_CLIENT: '6379',
    APP_PORT: 'tcp://10.0.0.8:80',
    APP_SERVICE_HOST: '10.0.0.8',
  }
  for (const [name, value] of Object.entries(links)) assert.ok(isServiceLink(name, value), name)
  const config = await read({ env: links })
  assert.deepEqual(config.problems, [])
  assert.deepEqual(config.warnings, [])
  assert.equal(shown(config, 'app.port'), '8080 from default')
})

test('a setting that only looks like a link is a setting', () => {
  assert.equal(isServiceLink('APP_PORT', '8080'), false)
  assert.equal(isServiceLink('REDIS_ADDR', 'tcp://10.0.0.7:6379'), false)
})

test('a variable that an object inherits is not read', async () => {
  const env = Object.create({ APP_PORT: '1' }) as Record<string, string>
  assert.equal(shown(await read({ env }), 'app.port'), '8080 from default')
})

test('the distance counts insertions, deletions, replacements and swaps of neighbours', () => {
  const table = [
    ['', '', 0],
    ['a', '', 1],
    ['addr', 'adrr', 1],
    ['addr', 'ader', 1],
    ['addr', 'adre', 2],
    ['ca', 'abc', 3],
    ['timeout', 'tiemout', 1],
    ['kitten', 'sitting', 3],
  ] as const
  for (const [a, b, distance] of table) {
    assert.equal(editDistance(a, b), distance, `${a} ${b}`)
    assert.equal(editDistance(b, a), distance, `${b} ${a}`)
  }
  assert.equal(editDistance('kitten', 'sitting', 2), Infinity)
})

test('the nearest name is found across spellings, and a far one is none', () => {
  const names = ['dial_timeout', 'read_timeout', 'addr', 'db']
  assert.equal(nearest('dialTimeout', names), 'dial_timeout')
  assert.equal(nearest('Dial-Timeout', names), 'dial_timeout')
  assert.equal(nearest('adddr', names), 'addr')
  assert.equal(nearest('colour', names), undefined)
  assert.equal(nearest('x', names), undefined)
  assert.equal(nearest('frobnicate', ['replicate']), undefined)
  assert.equal(nearest('a'.repeat(100_000), names), undefined)
})
