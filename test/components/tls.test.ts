/**
 * Every client that speaks TLS from its first byte: whom it believes, in front of the real servers.
 *
 * PostgreSQL and Redis, which have TLS of their own here, are tried in their own files. Kafka names the address without TLS
 * to whoever got that far; that it is spoken to over TLS is tried with a broker of one's own.
 */
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import type { ComponentBase } from '../../src/app/component.ts'
import { kafka } from '../../src/components/kafka/index.ts'
import { mongo } from '../../src/components/mongo/index.ts'
import { rabbitmq } from '../../src/components/rabbitmq/index.ts'
import { s3 } from '../../src/components/s3/index.ts'
import { hasCode } from '../../src/core/errors.ts'
import { connectComponent, type OpenComponent } from '../../src/testing/connect-component.ts'
import { recordingLogger, type RecordedLine } from '../telemetry/recording-logger.ts'
import { makeCertificate, noOpenssl, type CertificateOptions } from '../support/certificates.ts'
import { startTlsFront } from '../support/tls-front.ts'
import * as brokerOfKafka from './kafka/support.ts'
import * as serverOfMongo from './mongo/support.ts'
import { ownVhost } from './rabbitmq/support.ts'
import * as serviceOfS3 from './s3/support.ts'

interface Trust {
  readonly tlsCa?: string
  readonly tlsRejectUnauthorized?: boolean
}
interface Client {
  readonly name: string
  /** `host:port` without TLS. */
  readonly address: string
  readonly skip: false | string
  /** Connects to `host:port` with TLS. */
  readonly connect: (
    address: string,
    trust: Trust,
    lines: RecordedLine[],
  ) => Promise<OpenComponent<ComponentBase>>
}

const own = await ownVhost()
after(() => own[Symbol.asyncDispose]())
const CLIENTS: readonly Client[] = [
  {
    name: 'rabbitmq',
    address: own.broker.address,
    skip: own.skip,
    connect: (address, trust, lines) => {
      const { vhost, user, password } = own.broker
      const url = `amqps://${encodeURIComponent(user)}:${encodeURIComponent(password)}@${address}/${vhost}`
      return connectComponent(rabbitmq({ url, ...trust }), { log: recordingLogger(lines) })
    },
  },
  {
    name: 'mongo',
    address: new URL(serverOfMongo.URL).host,
    skip: await serverOfMongo.missingServer(),
    connect: (address, trust, lines) =>
      connectComponent(mongo({ url: `mongodb://${address}/?tls=true`, selectionTimeout: '2s', ...trust }), {
        log: recordingLogger(lines),
      }),
  },
  {
    name: 's3',
    address: new URL(serviceOfS3.ENDPOINT).host,
    skip: await serviceOfS3.missingService(),
    connect: (address, trust, lines) =>
      connectComponent(
        s3({
          ...serviceOfS3.CREDENTIALS,
          endpoint: `https://${address}`,
          bucket: serviceOfS3.BUCKET,
          ...trust,
        }),
        { log: recordingLogger(lines) },
      ),
  },
  {
    name: 'kafka',
    address: brokerOfKafka.BROKER,
    skip: await brokerOfKafka.missingBroker(),
    connect: (address, trust, lines) =>
      connectComponent(kafka({ brokers: address, securityProtocol: 'SSL', ...trust }), {
        log: recordingLogger(lines),
      }),
  },
]
const REFUSED: readonly (readonly [what: string, CertificateOptions, isTrusted: boolean, RegExp])[] = [
  ['that nobody vouches for', {}, false, /self-signed certificate/],
  ['of another host', { host: 'db.example' }, true, /altnames|does not match|Host/],
  ['that is expired', { isExpired: true }, true, /expired/],
]

for (const { name, address, skip, connect } of CLIENTS) {
  const [host = '', port] = address.split(':')
  const target = { host, port: Number(port) }
  for (const [what, options, isTrusted, reason] of REFUSED) {
    test(`${name} refuses a certificate ${what}`, { skip: skip || noOpenssl, timeout: 60_000 }, async () => {
      await using certificate = makeCertificate(options)
      await using front = await startTlsFront(certificate, target)
      await assert.rejects(
        connect(`localhost:${front.port}`, isTrusted ? { tlsCa: certificate.cert } : {}, []),
        (error: Error) => {
          assert.match(`${error.message} ${String(error.cause)}`, reason)
          return hasCode(error, 'SLUICE_UNAVAILABLE')
        },
      )
    })
  }
  if (name === 'kafka') continue
  test(
    `${name} takes one whose authority it is given, and any where that is turned off, which it says`,
    { skip: skip || noOpenssl, timeout: 60_000 },
    async () => {
      await using certificate = makeCertificate()
      await using front = await startTlsFront(certificate, target)
      const lines: RecordedLine[] = []
      const warnings = (): readonly string[] =>
        lines.filter(({ level }) => level === 'warn').map(({ message }) => message)
      await using trusting = await connect(`localhost:${front.port}`, { tlsCa: certificate.cert }, lines)
      await trusting.check()
      assert.deepEqual(warnings(), [])
      await using lax = await connect(`localhost:${front.port}`, { tlsRejectUnauthorized: false }, lines)
      await lax.check()
      assert.match(warnings().join(), /certificates are not verified \(tlsRejectUnauthorized: false\)/)
    },
  )
}
