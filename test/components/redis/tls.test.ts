import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { makeCertificate, noOpenssl, type Certificate } from '../../support/certificates.ts'
import { recordingLogger, type RecordedLine } from '../../telemetry/recording-logger.ts'
import { freePort, missingServerProgram, ownServer } from './own-server.ts'
import { connectRedis, hasCode } from './support.ts'

const skip = (await missingServerProgram()) || noOpenssl

/** A server of the test's own that speaks TLS alone. */
async function tlsServer({ key, cert }: Certificate) {
  const tlsPort = await freePort()
  const files = ['--tls-cert-file', cert, '--tls-key-file', key, '--tls-ca-cert-file', cert]
  const server = await ownServer(['--tls-port', String(tlsPort), '--tls-auth-clients', 'no', ...files])
  return {
    addr: `rediss://localhost:${tlsPort}`,
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  }
}

test(
  'over TLS a certificate that nobody vouches for is refused, unless that is turned off',
  { skip, timeout: 60_000 },
  async () => {
    await using certificate = makeCertificate()
    await using server = await tlsServer(certificate)
    const { addr } = server
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
      { addr: addr.replace('rediss://', ''), dialTimeout: '2s', readTimeout: '2s' },
      { idle: true },
    )
    await assert.rejects(plain.connect(), hasCode('SLUICE_UNAVAILABLE'))
  },
)

test(
  'certificates that are expired or of another host are refused though their authority is trusted',
  { skip, timeout: 60_000 },
  async () => {
    for (const [options, pattern] of [
      [{ host: 'db.example' }, /altnames|Host/],
      [{ isExpired: true }, /expired/],
    ] as const) {
      await using certificate = makeCertificate(options)
      await using server = await tlsServer(certificate)
      await using made = await connectRedis({ addr: server.addr, tlsCa: certificate.cert }, { idle: true })
      await assert.rejects(
        made.connect(),
        (error) => hasCode('SLUICE_UNAVAILABLE')(error) && pattern.test(String(error)),
        String(pattern),
      )
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
