import assert from 'node:assert/strict'
import { test } from 'node:test'
import { clientSettings, dsn, parseDsn, withDatabase } from '../../../src/components/postgres/dsn.ts'
import { read } from '../../config/support.ts'
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

const refusal = (raw: string): string => {
  const parsed = parseDsn(raw)
  return parsed.ok ? `accepted as ${parsed.value}` : parsed.expected
}

test('a parameter that nobody knows is refused with the nearest, as a URL and as pairs', () => {
  assert.match(refusal('hots=db.prod user=postgres'), /did you mean host for hots\?$/)
  assert.match(refusal('postgres://h/x?sslmod=require'), /did you mean sslmode for sslmod\?$/)
  assert.match(refusal('postgres://h/x?Application_Name=a'), /did you mean application_name for/)
  assert.match(refusal('server=h dbname=x'), /did you mean host for server\?$/)
  assert.match(refusal('postgres://h/x?schema=public'), /did you mean search_path for schema\?$/)
  assert.match(
    refusal('postgres://h/x?pgbouncer=true'),
    /^known parameters such as host, .*, not "pgbouncer"$/,
  )
  assert.match(refusal('postgres://h/x?password=abc&hunter2=c'), /^known parameters such as [^"]*$/)
})

test('what is not one address in one of the two forms is refused by its name', () => {
  for (const raw of ['Server=h;Password=hunter2;', 'user=u;pwd=hunter2;server=h', 'password=x;Server=h'])
    assert.equal(refusal(raw), 'pairs with blanks between them, not ;')
  assert.equal(refusal('POSTGRES_DSN=postgres://u:p@h/x'), 'the address alone, without name and =')
  assert.match(refusal("host=h password='hunter2"), /^postgres:\/\//)
  for (const raw of [
    'postgres://u:p@one,two/x',
    'postgres://one:1,two:2/x',
    'host=one,two dbname=x',
    'host=one port=1,2',
    'postgres:///x?host=one,two',
  ])
    assert.equal(refusal(raw), 'one host; several are not supported')
  assert.equal(value('postgres://u:a,b@h/x'), 'postgres://u:a,b@h/x')
  assert.equal(value('postgres://h/x,y'), 'postgres://h/x,y')
})

test('hostaddr is where it connects, and search_path and TimeZone hold in the session', () => {
  assert.equal(value('hostaddr=10.0.0.9 user=u dbname=x'), 'postgres://u@10.0.0.9:5432/x')
  assert.equal(refusal('host=db hostaddr=10.0.0.9'), 'host or hostaddr, not both')
  const both = 'options=-c%20a%3Db%20-c%20TimeZone%3DUTC%20-c%20search_path%3Dapp%2C%5C%20public'
  assert.equal(
    value('postgres://h/x?options=-c%20a%3Db&TimeZone=UTC&search_path=app,%20public'),
    `postgres://h/x?${both}`,
  )
})

test('what libpq knows and has no effect here is refused where it would be missed, and else warned of', () => {
  const warnings = (raw: string) => {
    const parsed = parseDsn(raw)
    return parsed.ok ? [parsed.value, ...(parsed.warnings ?? [])] : [parsed.expected]
  }
  for (const [name, wanted] of [
    ['target_session_attrs', 'read-write'],
    ['require_auth', 'scram-sha-256'],
    ['channel_binding', 'require'],
    ['gssencmode', 'require'],
    ['sslcrl', '/x'],
    ['service', 'x'],
    ['passfile', '/x'],
    ['replication', 'database'],
    ['ssl_min_protocol_version', 'TLSv1.3'],
  ] as const) {
    assert.equal(refusal(`postgres://h/x?${name}=${wanted}`), `no ${name}, which has no effect here`)
    assert.equal(refusal(`host=h ${name}=${wanted}`), `no ${name}, which has no effect here`)
  }
  assert.deepEqual(warnings('postgres://h/x?connect_timeout=10&application_name=a%20b'), [
    'postgres://h/x?application_name=a%20b',
    'connect_timeout has no effect; POSTGRES_CONNECT_TIMEOUT sets that limit',
  ])
  assert.deepEqual(
    warnings('postgres://h/x?target_session_attrs=any&keepalives=1&gssencmode=prefer&client_encoding=UTF8'),
    ['postgres://h/x'],
  )
  assert.deepEqual(warnings('postgres://h/x?sslmode=require&channel_binding=require'), [
    'postgres://h/x?sslmode=require',
    'channel_binding is not required; the certificate and the name of the host are verified',
  ])
})

test('warnings of a DSN say where it was written, also below multi_config', async () => {
  const dsn = 'postgres://h/x?connect_timeout=10'
  const { warnings, problems } = await read({
    env: { POSTGRES_DSN: dsn },
    yaml: `postgres:\n  multi_config:\n    one: { dsn: '${dsn}' }\n`,
  })
  assert.deepEqual(problems, [])
  assert.match(warnings[0] ?? '', /^env POSTGRES_DSN \(db\.dsn\): connect_timeout has no effect/)
  assert.match(warnings[1] ?? '', /^sluice\.yaml:2 \(postgres\.multi_config\): one: dsn: connect_timeout has/)
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
