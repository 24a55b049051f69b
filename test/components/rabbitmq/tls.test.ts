/** TLS in front of the shared broker, by a server of the test's own that passes on what it decrypts. */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { makeCertificate, noOpenssl } from '../../support/certificates.ts'
import { startTlsFront } from '../../support/tls-front.ts'
import { at, connectRabbit, hasCode, ownVhost } from './support.ts'

const own = await ownVhost()
after(() => own[Symbol.asyncDispose]())

test(
  'large messages pass over TLS; what does not speak it, or speaks it unasked, is refused or found silent',
  { skip: own.skip || noOpenssl, timeout: 30_000 },
  async () => {
    await using certificate = makeCertificate()
    const [host = '', port] = own.broker.address.split(':')
    await using front = await startTlsFront(certificate, { host, port: Number(port) })
    const { vhost, user, password } = own.broker
    const credentials = `${encodeURIComponent(user)}:${encodeURIComponent(password)}`
    const url = `amqps://${credentials}@localhost:${front.port}/${vhost}`
    await using vouched = await connectRabbit({ url, tlsCa: certificate.cert })
    await vouched.mq.publish('a', Buffer.alloc(500_000), { mandatory: false })
    await using absent = await connectRabbit({ url, tlsCa: `${certificate.cert}.none` }, { idle: true })
    await assert.rejects(
      absent.connect(),
      hasCode('SLUICE_UNAVAILABLE', /tlsCa: cannot read .*\.none \(ENOENT\)/),
    )
    // Neither hangs.
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
  },
)
