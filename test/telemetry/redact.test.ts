import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { SluiceError } from '../../src/core/errors.ts'
import {
  createRedactor,
  describeError,
  redactError,
  redactText,
  redactUrl,
  redactValue,
} from '../../src/telemetry/redact.ts'
import { cpuMs } from '../support/cpu-time.ts'

const CANARY = 'cAn4ry-s3cret'

/** Each place where a secret has been seen to leak, as text. */
const TEXTS = [
  `postgres://user:${CANARY}@db:5432/app`,
  `connect to redis://:${CANARY}@cache:6379/0 failed`,
  `amqp://user:p@ss/${CANARY}#?x@mq/`,
  `postgresql+ssl://${CANARY}@db/app`,
  `https://example.com/?user=a&password=${CANARY}&x=1`,
  `https://example.com/?api_key=${CANARY}`,
  `https://bucket/key?X-Amz-Signature=${CANARY}&X-Amz-Security-Token=${CANARY}`,
  `Server=db;User Id=a;Password=${CANARY};Encrypt=true`,
  `host=db user=a password='${CANARY} x' dbname=y`,
  `host=db password = ${CANARY}`,
  `PGPASSWORD=${CANARY} psql`,
  `{"user":"a","password":"${CANARY}"}`,
  `{"clientSecret": "${CANARY}"}`,
  `{ accessToken: '${CANARY}' }`,
  `Authorization: Bearer ${CANARY}`,
  `authorization: Basic ${Buffer.from(`user:${CANARY}`).toString('base64')}`,
  `curl -H "X-Api-Key: ${CANARY}"`,
  `Cookie: a=b; session=${CANARY}`,
  `set-cookie: sid=${CANARY}; HttpOnly`,
  `request failed with Bearer ${CANARY} at /`,
  `request failed with bearer ${CANARY} at /`,
  `sent Basic ${Buffer.from(`user:${CANARY}`).toString('base64')} to it`,
  `sent Token ${CANARY}`,
  `sent Digest username="a", realm="b", response="${CANARY}"`,
  `secret_access_key=${CANARY}`,
  `sslkey=${CANARY}`,
]

const shapes = [CANARY, encodeURIComponent(CANARY), Buffer.from(`user:${CANARY}`).toString('base64')]

function assertClean(shown: string, from: string): void {
  for (const shape of shapes) assert(!shown.includes(shape), `${from}\n  became ${shown}`)
}

test('no text shows a secret in any of the places where one is known to stand', () => {
  for (const text of TEXTS) {
    assertClean(redactText(text), text)
    assertClean(redactUrl(text), text)
    assert.equal(redactText(redactText(text)), redactText(text), 'redacting twice changes nothing more')
  }
})

test('words of every day that name a scheme as well leave what follows them as it is', () => {
  const texts = [
    'digest enqueued',
    'the nightly digest went to each user',
    'Digest sent',
    'a basic account has no quota',
    'Basic authentication failed',
    'the token expired yesterday',
    'Token expired.',
    'the two sides negotiate encryption first',
  ]
  for (const text of texts) assert.equal(redactText(text), text)
})

test('no error shows a secret: not in its message, stack, details, causes, parts or fields of its own', () => {
  for (const text of TEXTS) {
    const driver = Object.assign(new Error(text), {
      code: 'ECONNREFUSED',
      config: { headers: { authorization: CANARY } },
      parameters: [CANARY],
      detail: `Key (password)=(${CANARY}) exists.`,
    })
    const inner = new SluiceError('SLUICE_UNAVAILABLE', text, {
      cause: driver,
      details: { url: text, password: CANARY },
    })
    const outer = new AggregateError([inner, driver], text, { cause: inner })
    assertClean(JSON.stringify(describeError(outer)), text)
    for (let error: unknown = redactError(outer); error instanceof Error; error = error.cause) {
      assertClean(`${error.message} ${error.stack} ${JSON.stringify(error)}`, text)
    }
  }
})

test('no value shows a secret: by the name of its key, in headers, in nested texts', () => {
  for (const name of [
    'password',
    'PGPASSWORD',
    'apiKey',
    'api_key',
    'x-api-key',
    'clientSecret',
    'auth_token',
    'Cookie',
    'dsn',
    'credentials',
  ]) {
    assertClean(
      JSON.stringify(redactValue({ a: { [name]: CANARY }, b: [{ [name]: [CANARY, { x: CANARY }] }] })),
      name,
    )
  }
  const shown = redactValue({ headers: { host: 'a', 'x-forwarded-access': CANARY, accept: '*/*' } })
  assert.deepEqual(JSON.parse(JSON.stringify(shown)), {
    headers: { host: 'a', 'x-forwarded-access': '***', accept: '*/*' },
  })
  assertClean(
    JSON.stringify(redactValue(new Map([['url', new URL(`redis://a:${CANARY}@b`)]]))),
    'a map of URLs',
  )
})

test('a redactor that knows the secrets finds them anywhere, also percent- and base64-encoded', () => {
  const secret = 'p@ss wörd/"1"'
  const { text, value } = createRedactor([secret, 'abc'])
  const forms = [
    secret,
    encodeURIComponent(secret),
    JSON.stringify(secret),
    Buffer.from(secret).toString('base64'),
    Buffer.from(secret).toString('base64url'),
  ]
  for (const form of forms) {
    const shown = text(`it was ${form} there`)
    assert.match(shown, /^it was "?\*\*\*=*"? there$/)
    assert.doesNotMatch(JSON.stringify(value({ odd: [form] })), /p@ss|p%40ss|cEBzc/)
  }
  assert.equal(text('abc'), 'abc', 'a secret too short to look for is left to the patterns')
})

test('what holds no secret stays readable', () => {
  const same = [
    'connect ECONNREFUSED 127.0.0.1:5432',
    '"postgres: connect" timed out after 5000 ms',
    'password authentication failed for user "todo"',
    'https://example.com/a?page=2&sort=name',
    'mail to ann@example.com',
    'duplicate key value violates unique constraint "todos_pkey"',
  ]
  for (const text of same) assert.equal(redactText(text), text)
  assert.equal(
    redactUrl('postgres://u:p@db:5432/app?sslmode=require'),
    'postgres://***@db:5432/app?sslmode=require',
  )
})

test('an error is described with what helps: code, place, operation, hint and its causes', () => {
  const cause = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED', port: 5432 })
  const error = new SluiceError('SLUICE_UNAVAILABLE', 'db is away', {
    cause,
    component: 'db',
    operation: 'query',
    hint: 'Start it.',
    retryable: true,
  })
  const { stack, ...shown } = describeError(error)
  assert.match(String(stack), /db is away/)
  assert.partialDeepStrictEqual(shown, {
    type: 'SluiceError',
    message: 'db is away',
    code: 'SLUICE_UNAVAILABLE',
    component: 'db',
    operation: 'query',
    hint: 'Start it.',
    retryable: true,
    cause: { type: 'Error', code: 'ECONNREFUSED', port: 5432 },
  })
})

test('circular, deep, long and odd values are shown bounded and never throw', () => {
  const circular: Record<string, unknown> = {
    n: 1n,
    f: () => 1,
    s: Symbol('s'),
    nan: NaN,
    date: new Date(NaN),
  }
  circular['self'] = circular
  const error: Error = new Error('loop')
  error.cause = error
  const wide = Object.fromEntries(Array.from({ length: 1_000 }, (_, i) => [`k${i}`, i]))
  const json = JSON.stringify(
    redactValue({ circular, error, wide, long: 'x'.repeat(1e6), bytes: Buffer.from('x') }),
  )
  assert(json.length < 20_000, `${json.length} characters`)
  assert.match(json, /\[circular\]/)
  assert.match(json, /\[1 bytes\]/)
  assert.equal((redactError(error).cause as Error).message, 'loop')
})

test('a key called __proto__ is shown as a key and changes no prototype', () => {
  const shown = redactValue(JSON.parse('{"__proto__": {"polluted": 1}}')) as object
  assert.equal(JSON.stringify(shown), '{"__proto__":{"polluted":1}}')
  assert.equal(({} as { polluted?: number }).polluted, undefined)
})

test('any value whatever becomes JSON, and any long text is done in linear time', () => {
  fc.assert(
    fc.property(fc.anything({ withMap: true, withSet: true, withDate: true, withBigInt: true }), (value) => {
      JSON.stringify(redactValue(value))
    }),
  )
  for (const part of ['a://', 'password', 'a.', 'token="', 'Bearer ', 'a@', "secret='\\\\", 'Cookie:']) {
    const startedAt = cpuMs()
    redactText(part.repeat(20_000))
    const took = cpuMs() - startedAt
    assert(took < 2_000, `${JSON.stringify(part)} took ${Math.round(took)} ms`)
  }
})

test('a known secret across the border at which a long text is cut is taken out whole', () => {
  const secret = 'correct horse battery staple'
  const shown = createRedactor([secret]).value(`${'x'.repeat(9_985)} ${secret} and more`)
  assert.doesNotMatch(String(shown), /corr/)
})
