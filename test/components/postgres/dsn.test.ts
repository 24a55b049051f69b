import assert from 'node:assert/strict'
import { test } from 'node:test'
import { clientSettings, dsn, parseDsn, withDatabase } from '../../../src/components/postgres/dsn.ts'
import { namedTarget, section } from '../../../src/components/postgres/section.ts'

const value = (raw: unknown): unknown => {
  const parsed = parseDsn(raw)
  return parsed.ok ? parsed.value : undefined
}

test('a DSN is a URL, or the pairs that Go and libpq take', () => {
  const url = 'postgres://app:p%40ss@db:5433/todo?sslmode=require'
  assert.equal(value(` ${url}\n`), url)
  assert.equal(value('postgresql://localhost/x'), 'postgresql://localhost/x')
  assert.equal(value('postgres://app@/todo?host=/run/pg'), 'postgres://app@/todo?host=/run/pg')
  assert.equal(
    value(`host=db port=5433 user=app password='a b\\'c' dbname=todo sslmode=disable TimeZone=Asia/Shanghai`),
    "postgres://app:a%20b'c@db:5433/todo?sslmode=disable&options=-c%20TimeZone%3DAsia%2FShanghai",
  )
  assert.equal(value('host=/run/pg dbname=x user=u'), 'postgres://u@localhost:5432/x?host=%2Frun%2Fpg')
  assert.equal(value('host=::1 dbname=x'), 'postgres://[::1]:5432/x')
})

test('what is no DSN is refused with what one looks like', () => {
  for (const raw of ['', 'localhost', 'mysql://x/y', 'postgres://', 'host=db dbname', 7, undefined]) {
    const parsed = parseDsn(raw)
    assert.ok(!parsed.ok && parsed.expected.includes('postgres://'), String(raw))
  }
})

test('a password that holds what separates the parts of a URL is told to be percent-encoded', () => {
  for (const password of ['p#ss', 'p/ss', 'p?ss', '12#3', '12/3', '12?3', '#', '/@', '?@']) {
    const parsed = parseDsn(`postgres://app:${password}@db:5432/todo`)
    assert.ok(!parsed.ok, password)
    assert.match(parsed.expected, /percent-encode # \/ \? @ in the password \(# is %23\)$/)
    assert.equal(
      value(`postgres://app:${encodeURIComponent(password)}@db:5432/todo`),
      `postgres://app:${encodeURIComponent(password)}@db:5432/todo`,
    )
  }
  assert.equal(value('postgres://db/a@b'), 'postgres://db/a@b')
  assert.equal(value('postgres://db/x?user=a@b'), 'postgres://db/x?user=a@b')
})

test('a DSN is shown without its password', () => {
  const field = dsn({ doc: 'x' })
  const shown = field.show('postgres://app:hunter2@db/todo')
  assert.ok(!shown.includes('hunter2') && shown.includes('db/todo'), shown)
})

test('another database of the same server keeps everything else of the address', () => {
  const to = (from: string) => withDatabase({ dsn: from }, 'a/b')
  assert.deepEqual(to('postgres://u:p@h:1/x?sslmode=require'), {
    dsn: 'postgres://u:p@h:1/a%2Fb?sslmode=require',
  })
  assert.deepEqual(to('postgres://h'), { dsn: 'postgres://h/a%2Fb' })
  const embedded = { host: '/run', port: 5432, user: 'postgres', database: 'postgres' }
  assert.deepEqual(withDatabase(embedded, 'x'), { ...embedded, database: 'x' })
})

test('a named database is a DSN, its parts, or a name on the main server', () => {
  const parse = (raw: unknown) => {
    const parsed = section.fields.multiConfig.parse({ one: raw }, 'text')
    assert.ok(parsed.ok)
    return namedTarget(parsed.value!['one']!, () => ({ dsn: 'postgres://main/x' }))
  }
  assert.deepEqual(parse({ dsn: 'postgres://a/b' }), { dsn: 'postgres://a/b' })
  assert.deepEqual(parse({ dbname: 'y' }), { dsn: 'postgres://main/y' })
  assert.deepEqual(parse({ host: 'h', user: 'u', password: 'p@', dbname: 'y', sslmode: 'require' }), {
    dsn: 'postgres://u:p%40@h:5432/y?sslmode=require',
  })
})

test('contradictions of the configuration are faults', () => {
  const defaults = Object.fromEntries(
    Object.entries(section.fields).map(([key, field]) => [key, field.defaultValue]),
  ) as Parameters<NonNullable<typeof section.check>>[0]
  assert.deepEqual(section.check?.(defaults), [])
  const wrong = section.check?.({ ...defaults, minConns: 20 })
  assert.equal(wrong?.[0]?.field, 'minConns')
})

test('a mode of TLS that is none is refused with the nearest, wherever a DSN is read', () => {
  const expected = (raw: string): string => {
    const parsed = parseDsn(raw)
    return parsed.ok ? '' : parsed.expected
  }
  assert.match(expected('postgres://h/x?sslmode=bogus'), /^sslmode disable, .* or no-verify$/)
  assert.match(expected('postgres://h/x?sslmode=requir'), /did you mean require\?$/)
  assert.match(expected('postgres://h/x?SSL_MODE=verify_full'), /did you mean verify-full\?$/)
  assert.match(expected('host=h dbname=x sslmode=no-verfy'), /did you mean no-verify\?$/)
  for (const mode of ['prefer', 'allow']) {
    assert.match(
      expected(`postgres://h/x?sslmode=${mode}`),
      /may be plaintext: choose verify-full or disable$/,
    )
  }
  assert.match(expected('postgres://h/x?ssl=maybe'), /^sslmode/)
  assert.match(expected('postgres://h/x?sslmode=disable&sslnegotiation=direct'), /^no sslmode=disable/)
  const named = section.fields.multiConfig.parse(
    { one: { host: 'h', dbname: 'x', sslmode: 'prefer' } },
    'text',
  )
  assert.ok(!named.ok)
})

test('the driver is told of TLS by an object, never by the DSN', () => {
  const settings = (dsn: string) => {
    const { connectionString, ssl, sslnegotiation } = clientSettings({ dsn }, 'app')
    return [connectionString, ssl, sslnegotiation]
  }
  const plain = 'postgres://u:p@h/x'
  const verified = { rejectUnauthorized: true }
  assert.deepEqual(settings(plain), [plain, false, undefined])
  assert.deepEqual(settings(`${plain}?sslmode=disable&application_name=a%20b`), [
    `${plain}?application_name=a%20b`,
    false,
    undefined,
  ])
  for (const query of [
    'sslmode=require',
    'sslmode=verify-ca&uselibpqcompat=true',
    'ssl=true',
    'sslrootcert=system',
    'sslmode=no-verify&sslmode=require',
  ]) {
    assert.deepEqual(settings(`${plain}?${query}`), [plain, verified, undefined], query)
  }
  assert.deepEqual(settings(`${plain}?sslnegotiation=direct`), [plain, verified, 'direct'])
  assert.deepEqual(settings(`${plain}?ssl=no-verify`), [plain, { rejectUnauthorized: false }, undefined])
})
