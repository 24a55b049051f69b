import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { recordingLogger, type RecordedLine } from '../../telemetry/recording-logger.ts'
import { freePort, missingServerProgram, ownServer } from './own-server.ts'
import { connectRedis, hasCode } from './support.ts'

const noOpenssl = spawnSync('openssl', ['version']).status === 0 ? false : 'openssl is not installed'
const skip = (await missingServerProgram()) || noOpenssl

test(
  'over TLS a certificate that nobody vouches for is refused, unless that is turned off',
  { skip, timeout: 60_000 },
  async () => {
    const dir = await mkdtemp(join(tmpdir(), 'sluice-redis-tls-'))
    try {
      const [key, cert] = [join(dir, 'key.pem'), join(dir, 'cert.pem')]
      const made = spawnSync(
        'openssl',
        'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost'
          .split(' ')
          .concat('-addext', 'subjectAltName=DNS:localhost', '-keyout', key, '-out', cert),
      )
      assert.equal(made.status, 0, String(made.stderr))
      const tlsPort = await freePort()
      const files = ['--tls-cert-file', cert, '--tls-key-file', key, '--tls-ca-cert-file', cert]
      await using _server = await ownServer([
        '--tls-port',
        String(tlsPort),
        '--tls-auth-clients',
        'no',
        ...files,
      ])
      const addr = `rediss://localhost:${tlsPort}`
      const lines: RecordedLine[] = []
      const log = recordingLogger(lines)
      await using strict = await connectRedis({ addr }, { idle: true, log })
      await assert.rejects(strict.connect(), (error) => {
        return hasCode('SLUICE_UNAVAILABLE')(error) && /self-signed certificate/.test(String(error))
      })
      const warnings = (): readonly string[] =>
        lines.filter(({ level }) => level === 'warn').map(({ message }) => message)
      assert.deepEqual(warnings(), [])
      await using lax = await connectRedis({ addr, tlsRejectUnauthorized: false }, { log })
      assert.equal(await lax.cache.set('a', '1'), true)
      assert.deepEqual(warnings(), ['cache: certificates are not verified (tlsRejectUnauthorized: false)'])
      await using plain = await connectRedis(
        { addr: `localhost:${tlsPort}`, dialTimeout: '2s', readTimeout: '2s' },
        { idle: true },
      )
      await assert.rejects(plain.connect(), hasCode('SLUICE_UNAVAILABLE'))
    } finally {
      await rm(dir, { recursive: true, force: true })
    }
  },
)

test(
  'certificates that are expired or of another host are refused though their authority is trusted',
  { skip, timeout: 60_000 },
  async () => {
    const dir = await mkdtemp(join(tmpdir(), 'sluice-redis-tls-'))
    const [key, cert] = [join(dir, 'key.pem'), join(dir, 'cert.pem')]
    const openssl = (...args: readonly string[]): void => {
      const made = spawnSync('openssl', args)
      assert.equal(made.status, 0, String(made.stderr))
    }
    try {
      for (const [host, days, pattern] of [
        ['db.example', '2', /altnames|Host/],
        ['localhost', '-1', /expired/],
      ] as const) {
        const request = 'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2'.split(' ')
        const name = ['-subj', `/CN=${host}`, '-addext', `subjectAltName=DNS:${host}`]
        openssl(...request, ...name, '-keyout', key, '-out', cert)
        // Signed again, as `req` takes no end in the past.
        openssl('x509', '-in', cert, '-signkey', key, '-days', days, '-out', cert)
        const tlsPort = await freePort()
        const files = ['--tls-cert-file', cert, '--tls-key-file', key, '--tls-ca-cert-file', cert]
        const own = ['--tls-port', String(tlsPort), '--tls-auth-clients', 'no', ...files]
        await using _server = await ownServer(own)
        const addr = `rediss://localhost:${tlsPort}`
        await using made = await connectRedis({ addr, tlsCa: cert }, { idle: true })
        await assert.rejects(
          made.connect(),
          (error) => hasCode('SLUICE_UNAVAILABLE')(error) && pattern.test(String(error)),
          host,
        )
      }
    } finally {
      await rm(dir, { recursive: true, force: true })
    }
  },
)

test(
  'a server that asks for the certificate of the client is given it',
  { skip, timeout: 60_000 },
  async () => {
    const dir = await mkdtemp(join(tmpdir(), 'sluice-redis-tls-'))
    try {
      const file = (name: string): string => join(dir, name)
      const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
      const authority = ['-CA', file('ca.crt'), '-CAkey', file('ca.key'), '-CAcreateserial', '-days', '2']
      const subject = (name: string) => ['-subj', `/CN=${name}`, '-addext', `subjectAltName=DNS:${name}`]
      const ca = ['req', '-x509', ...key, '-days', '2', '-subj', '/CN=ca']
      const commands = [[...ca, '-keyout', file('ca.key'), '-out', file('ca.crt')]]
      for (const [name, host] of [
        ['server', 'localhost'],
        ['client', 'app'],
      ] as const) {
        const csr = file(`${name}.csr`)
        commands.push(['req', ...key, ...subject(host), '-keyout', file(`${name}.key`), '-out', csr])
        const copied = ['-copy_extensions', 'copy', '-out', file(`${name}.crt`)]
        commands.push(['x509', '-req', '-in', csr, ...authority, ...copied])
      }
      for (const args of commands) {
        const made = spawnSync('openssl', args)
        assert.equal(made.status, 0, String(made.stderr))
      }
      const tlsPort = await freePort()
      const own = ['--tls-cert-file', file('server.crt'), '--tls-key-file', file('server.key')]
      const asks = ['--tls-auth-clients', 'yes', '--tls-ca-cert-file', file('ca.crt')]
      await using _server = await ownServer(['--tls-port', String(tlsPort), ...own, ...asks])
      const addr = `rediss://localhost:${tlsPort}`
      const tlsCa = file('ca.crt')
      const client = { tlsCert: file('client.crt'), tlsKey: file('client.key') }
      await using connected = await connectRedis({ addr, tlsCa, ...client })
      assert.equal(await connected.cache.set('a', '1'), true)
      await using without = await connectRedis({ addr, tlsCa }, { idle: true })
      await assert.rejects(without.connect(), hasCode('SLUICE_UNAVAILABLE'))
      await using absent = await connectRedis({ addr, tlsCa: file('none.crt') }, { idle: true })
      await assert.rejects(absent.connect(), (error) => {
        return (
          hasCode('SLUICE_UNAVAILABLE')(error) &&
          /tlsCa: cannot read .*none\.crt \(ENOENT\)/.test(String(error))
        )
      })
    } finally {
      await rm(dir, { recursive: true, force: true })
    }
  },
)
