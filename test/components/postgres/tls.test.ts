import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { chown, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { hasCode } from '../../../src/core/errors.ts'
import { postgres } from '../../../src/components/postgres/index.ts'
import { connectComponent, openComponent } from '../../../src/testing/connect-component.ts'
import { startFaultProxy } from '../../../src/testing/fault-proxy.ts'
import { recordingLogger, type RecordedLine } from '../../telemetry/recording-logger.ts'
import { ownPostgres } from '../../faults/support/own-postgres.ts'

const skip = spawnSync('openssl', ['version']).status === 0 ? false : 'openssl is not installed'

/** A certificate for `name` that nobody but itself vouches for; its files are called `file`. */
async function certify(
  data: string,
  name: string,
  owner: { uid: number; gid: number } | undefined,
  file = name,
  dates: 'valid' | 'expired' = 'valid',
): Promise<void> {
  const files = { key: join(data, `${file}.key`), cert: join(data, `${file}.crt`) }
  const request = `req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=${name}`
  const more = ['-addext', `subjectAltName=DNS:${name}`, '-keyout', files.key, '-out', files.cert]
  execFileSync('openssl', [...request.split(' '), ...more], { stdio: 'ignore' })
  if (dates === 'expired') {
    // Signed again with an end of yesterday, which `req` does not take.
    const again = ['x509', '-in', files.cert, '-signkey', files.key, '-days', '-1', '-out', files.cert]
    execFileSync('openssl', again, { stdio: 'ignore' })
  }
  if (owner !== undefined) for (const file of Object.values(files)) await chown(file, owner.uid, owner.gid)
}

test(
  'over TLS the certificate is verified unless the address says otherwise',
  { skip, timeout: 60_000 },
  async () => {
    await using server = await ownPostgres(
      { ssl: 'on', ssl_cert_file: 'localhost.crt', ssl_key_file: 'localhost.key' },
      async (data, owner) => certify(data, 'localhost', owner),
    )
    const root = join(server.data, 'localhost.crt')
    assert.match(await readFile(root, 'latin1'), /CERTIFICATE/)
    const lines: RecordedLine[] = []
    const warnings: unknown[] = []
    const heard = (warning: unknown): void => void warnings.push(warning)
    process.on('warning', heard)
    using _ = { [Symbol.dispose]: () => void process.off('warning', heard) }
    const connect = async (query: string, host = 'localhost'): Promise<boolean> => {
      const dsn = `postgres://postgres@${host}:${server.port}/postgres?${query}`
      await using made = await openComponent(postgres({ dsn }), { name: 'db', log: recordingLogger(lines) })
      await made.connect()
      const rows = await made.api.query<{ ssl: boolean }>(
        'select ssl from pg_stat_ssl where pid = pg_backend_pid()',
      )
      return rows[0]?.ssl === true
    }
    const refused = (pattern: RegExp) => (error: unknown) =>
      hasCode(error, 'SLUICE_UNAVAILABLE') && pattern.test(String(error))
    for (const mode of ['require', 'verify-ca', 'verify-full']) {
      await assert.rejects(connect(`sslmode=${mode}`), refused(/self-signed certificate/), mode)
    }
    const trusting = `sslrootcert=${encodeURIComponent(root)}`
    assert.equal(await connect(`sslmode=verify-full&${trusting}`), true)
    await assert.rejects(
      connect(`sslmode=verify-full&${trusting}`, '127.0.0.1'),
      refused(/IP|altnames|host/i),
    )
    assert.equal(lines.length, 0)
    assert.equal(await connect('sslmode=no-verify'), true)
    assert.deepEqual(
      lines.map(({ level, message }) => `${level} ${message}`),
      ['warn db: certificates are not verified (sslmode=no-verify)'],
    )
    assert.equal(await connect('sslmode=disable'), false)
    // Said as well where another word means it; no mode of another library's making turns verification off.
    lines.length = 0
    assert.equal(await connect('ssl=no-verify'), true)
    assert.equal(lines.length, 1)
    await assert.rejects(connect('sslmode=require&uselibpqcompat=true'), refused(/self-signed certificate/))
    assert.equal(await connect(trusting), true)
    assert.equal(await connect(''), false)
    await assert.rejects(
      connect('sslmode=require&sslrootcert=/absent.pem'),
      refused(/sslrootcert of the DSN: cannot read \/absent\.pem \(ENOENT\)/),
    )
    assert.equal(lines.length, 1)
    assert.deepEqual(warnings, [])
  },
)

test(
  'certificates that are expired or of another host are refused though their authority is trusted',
  { skip, timeout: 60_000 },
  async () => {
    for (const [host, dates, pattern] of [
      ['db.example', 'valid', /altnames|Host/],
      ['localhost', 'expired', /expired/],
    ] as const) {
      await using server = await ownPostgres(
        { ssl: 'on', ssl_cert_file: 'server.crt', ssl_key_file: 'server.key' },
        async (data, owner) => certify(data, host, owner, 'server', dates),
      )
      const root = encodeURIComponent(join(server.data, 'server.crt'))
      const dsn = `postgres://postgres@localhost:${server.port}/postgres?sslmode=verify-full&sslrootcert=${root}`
      await using made = await openComponent(postgres({ dsn }), { name: 'db' })
      await assert.rejects(
        made.connect(),
        (error: unknown) => hasCode(error, 'SLUICE_UNAVAILABLE') && pattern.test(String(error)),
        host,
      )
    }
  },
)

test(
  'a statement that is given up is cancelled at the server over TLS, where its connection is encrypted',
  { skip, timeout: 60_000 },
  async () => {
    await using server = await ownPostgres(
      { ssl: 'on', ssl_cert_file: 'server.crt', ssl_key_file: 'server.key' },
      async (data, owner) => certify(data, 'localhost', owner, 'server'),
    )
    await using proxy = await startFaultProxy({ target: { host: '127.0.0.1', port: server.port } })
    const root = encodeURIComponent(join(server.data, 'server.crt'))
    const dsn = `postgres://postgres@localhost:${proxy.port}/postgres?sslmode=verify-full&sslrootcert=${root}`
    const readable: Buffer[] = []
    proxy.intercept((bytes) => {
      readable.push(bytes)
      return bytes
    }, 'up')
    await using made = await connectComponent(postgres({ dsn }), { name: 'db' })
    await using admin = await connectComponent(postgres({ dsn: server.dsn }), { name: 'admin' })
    const running = (): PromiseLike<number> =>
      admin.api.execute(`select from pg_stat_activity where wait_event = 'PgSleep'`, [], {
        idempotent: false,
      })
    const slow = made.api.execute('select pg_sleep(50)')
    while ((await running()) === 0);
    slow.cancel()
    await assert.rejects(slow, (error) => hasCode(error, 'SLUICE_CANCELLED'))
    while ((await running()) > 0);
    // The code of a CancelRequest, as it would be read on the way.
    const code = Buffer.from('04d2162e', 'hex')
    assert.equal(Buffer.concat(readable).includes(code), false)
  },
)

/** An authority of the test's own, `ca.crt`, and a certificate of it for `user`, `client.crt`, with its key. */
function certifyUser(directory: string, user: string): void {
  const file = (name: string): string => join(directory, name)
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
  const authority = ['-CA', file('ca.crt'), '-CAkey', file('ca.key'), '-CAcreateserial', '-days', '2']
  for (const args of [
    [
      'req',
      '-x509',
      ...key,
      '-days',
      '2',
      '-subj',
      '/CN=ca',
      '-keyout',
      file('ca.key'),
      '-out',
      file('ca.crt'),
    ],
    ['req', ...key, '-subj', `/CN=${user}`, '-keyout', file('client.key'), '-out', file('client.csr')],
    ['x509', '-req', '-in', file('client.csr'), ...authority, '-out', file('client.crt')],
  ])
    execFileSync('openssl', args, { stdio: 'ignore' })
}

test(
  'a server that asks for the certificate of the client is given it',
  { skip, timeout: 60_000 },
  async () => {
    const own = await mkdtemp(join(tmpdir(), 'sluice-client-'))
    try {
      certifyUser(own, 'postgres')
      await using server = await ownPostgres(
        { ssl: 'on', ssl_cert_file: 'server.crt', ssl_key_file: 'server.key', ssl_ca_file: 'ca.crt' },
        async (data, owner) => {
          await certify(data, 'localhost', owner, 'server')
          await writeFile(join(data, 'ca.crt'), await readFile(join(own, 'ca.crt')))
          await writeFile(
            join(data, 'pg_hba.conf'),
            'hostssl all all 127.0.0.1/32 trust clientcert=verify-full\n',
          )
          if (owner !== undefined) await chown(join(data, 'ca.crt'), owner.uid, owner.gid)
        },
      )
      const root = encodeURIComponent(join(server.data, 'server.crt'))
      const trusting = `postgres://postgres@localhost:${server.port}/postgres?sslmode=verify-full&sslrootcert=${root}`
      const files = `sslcert=${encodeURIComponent(join(own, 'client.crt'))}&sslkey=${encodeURIComponent(join(own, 'client.key'))}`
      await using made = await connectComponent(postgres({ dsn: `${trusting}&${files}` }), { name: 'db' })
      const rows = await made.api.query('select client_dn from pg_stat_ssl where pid = pg_backend_pid()')
      assert.deepEqual(rows, [{ client_dn: '/CN=postgres' }])
      await using without = await openComponent(postgres({ dsn: trusting }), { name: 'db' })
      await assert.rejects(without.connect(), (error) => {
        return (
          (hasCode(error, 'SLUICE_AUTH') || hasCode(error, 'SLUICE_UNAVAILABLE')) &&
          /certificate/.test(String(error))
        )
      })
    } finally {
      await rm(own, { recursive: true, force: true })
    }
  },
)

test('PGSSLMODE counts where the address says nothing', { skip, timeout: 60_000 }, async () => {
  await using server = await ownPostgres(
    { ssl: 'on', ssl_cert_file: 'server.crt', ssl_key_file: 'server.key' },
    async (data, owner) => certify(data, 'localhost', owner, 'server'),
  )
  const before = process.env['PGSSLMODE']
  const isEncrypted = async (mode: string, query = ''): Promise<boolean> => {
    process.env['PGSSLMODE'] = mode
    await using made = await connectComponent(postgres({ dsn: server.dsn + query }), { name: 'db' })
    const [row] = await made.api.query<{ ssl: boolean }>(
      'select ssl from pg_stat_ssl where pid = pg_backend_pid()',
    )
    return row?.ssl === true
  }
  try {
    assert.equal(await isEncrypted('no-verify'), true)
    assert.equal(await isEncrypted('disable'), false)
    assert.equal(await isEncrypted('no-verify', '?sslmode=disable'), false)
    assert.equal(await isEncrypted('disable', '?sslmode=no-verify'), true)
    for (const mode of ['require', 'verify-full', 'prefer'])
      await assert.rejects(isEncrypted(mode), /self-signed certificate/, mode)
  } finally {
    if (before === undefined) delete process.env['PGSSLMODE']
    else process.env['PGSSLMODE'] = before
  }
})

test('named databases are warned of by their name, once an address', { skip, timeout: 60_000 }, async () => {
  await using server = await ownPostgres(
    { ssl: 'on', ssl_cert_file: 'server.crt', ssl_key_file: 'server.key' },
    async (data, owner) => certify(data, 'localhost', owner, 'server'),
  )
  const lines: RecordedLine[] = []
  const options = { dsn: server.dsn, connections: { other: `${server.dsn}?sslmode=no-verify` } }
  await using made = await openComponent(postgres(options), { name: 'db', log: recordingLogger(lines) })
  await made.connect()
  made.api.addDatabase('again', `${server.dsn}?sslmode=no-verify`)
  await made.api.database('again').query('select 1')
  assert.deepEqual(
    lines.map(({ level, message, database }) => [level, message, database]),
    [['warn', 'db: certificates are not verified (sslmode=no-verify)', 'other']],
  )
})
