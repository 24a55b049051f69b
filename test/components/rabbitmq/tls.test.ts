/** TLS in front of the shared broker, by a server of the test's own that passes on what it decrypts. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { connect, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { createServer } from 'node:tls'
import { at, connectRabbit, hasCode, ownVhost } from './support.ts'

const own = await ownVhost()
after(() => own[Symbol.asyncDispose]())
const noOpenssl = spawnSync('openssl', ['version']).status === 0 ? false : 'openssl is not installed'

test(
  'over TLS a certificate that nobody vouches for is refused; with its authority, or unverified, it is taken',
  { skip: own.skip || noOpenssl, timeout: 30_000 },
  async () => {
    const dir = await mkdtemp(join(tmpdir(), 'sluice-rabbitmq-tls-'))
    const [key, cert] = [join(dir, 'key.pem'), join(dir, 'cert.pem')]
    const made = spawnSync(
      'openssl',
      'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost'
        .split(' ')
        .concat('-addext', 'subjectAltName=DNS:localhost', '-keyout', key, '-out', cert),
    )
    assert.equal(made.status, 0, String(made.stderr))
    const [host, port] = own.broker.address.split(':')
    const server = createServer({ key: await readFile(key), cert: await readFile(cert) }, (secure) => {
      const plain = connect(Number(port), host)
      const end = (): void => {
        secure.destroy()
        plain.destroy()
      }
      secure.on('error', end).on('close', end).pipe(plain)
      plain.on('error', end).on('close', end).pipe(secure)
    })
    server.on('tlsClientError', () => {})
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    try {
      const { vhost, user, password } = own.broker
      const credentials = `${encodeURIComponent(user)}:${encodeURIComponent(password)}`
      const url = `amqps://${credentials}@localhost:${(server.address() as AddressInfo).port}/${vhost}`
      await using strict = await connectRabbit({ url }, { idle: true })
      await assert.rejects(strict.connect(), hasCode('SLUICE_UNAVAILABLE', /self-signed certificate/))
      await using vouched = await connectRabbit({ url, tlsCa: cert })
      await vouched.mq.publish('a', Buffer.alloc(500_000), { mandatory: false })
      await using lax = await connectRabbit({ url, tlsRejectUnauthorized: false })
      await lax.check()
      await using absent = await connectRabbit({ url, tlsCa: join(dir, 'none.pem') }, { idle: true })
      await assert.rejects(
        absent.connect(),
        hasCode('SLUICE_UNAVAILABLE', /tlsCa: cannot read .*none\.pem \(ENOENT\)/),
      )
      // Plain AMQP to where TLS is spoken, and TLS to where it is not, are refused or found silent, and neither hangs.
      await using plain = await connectRabbit(
        { url: url.replace('amqps:', 'amqp:'), dialTimeout: '1s' },
        { idle: true },
      )
      await assert.rejects(plain.connect())
      await using wrong = await connectRabbit(
        { ...at(own.broker), tls: true, dialTimeout: '1s' },
        { idle: true },
      )
      await assert.rejects(wrong.connect())
    } finally {
      server.close()
      await rm(dir, { recursive: true, force: true })
    }
  },
)
