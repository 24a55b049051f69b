/** One broker of the file's own: it wants a password over TLS on one listener, and is killed, frozen and started again. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { eventually } from '../../support/eventually.ts'
import { isSluiceError } from '../../../src/core/errors.ts'
import { connectKafka, hasCode, missingOwnBroker, ownBroker, ownName, Seen } from './support.ts'

const noOpenssl = spawnSync('openssl', ['version']).status === 0 ? false : 'openssl is not installed'
const skip = (await missingOwnBroker()) || noOpenssl
const directory = await mkdtemp(join(tmpdir(), 'sluice-kafka-tls-'))
const [key, cert, both] = ['key.pem', 'cert.pem', 'both.pem'].map((name) => join(directory, name)) as [
  string,
  string,
  string,
]
const broker = skip === false ? await secureBroker() : undefined
after(async () => {
  await broker?.[Symbol.asyncDispose]()
  await rm(directory, { recursive: true, force: true })
})

async function secureBroker() {
  const made = spawnSync(
    'openssl',
    'req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost'
      .split(' ')
      .concat('-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1', '-keyout', key, '-out', cert),
  )
  assert.equal(made.status, 0, String(made.stderr))
  await writeFile(both, `${await readFile(key, 'utf8')}${await readFile(cert, 'utf8')}`)
  return ownBroker(({ port, controller, extra }) => ({
    listeners: `PLAINTEXT://127.0.0.1:${port},CONTROLLER://127.0.0.1:${controller},EXTRA://127.0.0.1:${extra}`,
    'advertised.listeners': `PLAINTEXT://127.0.0.1:${port},EXTRA://localhost:${extra}`,
    'listener.security.protocol.map': 'PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,EXTRA:SASL_SSL',
    'listener.name.extra.sasl.enabled.mechanisms': 'PLAIN',
    'listener.name.extra.plain.sasl.jaas.config':
      'org.apache.kafka.common.security.plain.PlainLoginModule required user_ada="lovelace-4711";',
    'listener.name.extra.ssl.keystore.type': 'PEM',
    'listener.name.extra.ssl.keystore.location': both,
  }))
}

test('a password over TLS lets in who knows it and trusts the broker', { skip }, async () => {
  const secure = {
    brokers: `localhost:${broker!.extraPort}`,
    securityProtocol: 'SASL_SSL',
    saslMechanism: 'PLAIN',
    saslUsername: 'ada',
    saslPassword: 'lovelace-4711',
    tlsCa: cert,
  } as const
  await using open = await connectKafka(secure)
  const topic = ownName()
  await open.kafka.createTopic(topic)
  const seen = new Seen<string>()
  await using _consumption = open.kafka.consume(topic, (message) => seen.add(message.text()), { retry: [] })
  await open.kafka.publish(topic, 'secret')
  assert.deepEqual(await seen.count(1), ['secret'])
  await assert.rejects(connectKafka({ ...secure, saslPassword: 'wrong-4711' }), (error) => {
    assert.doesNotMatch(String(error), /4711/)
    return hasCode('SLUICE_AUTH')(error)
  })
  const { tlsCa: _, ...unknown } = secure
  await assert.rejects(connectKafka(unknown), hasCode('SLUICE_UNAVAILABLE'))
  await using _lax = await connectKafka({ ...unknown, tlsRejectUnauthorized: false })
  await assert.rejects(
    connectKafka({ ...secure, tlsCa: join(directory, 'none.pem') }),
    hasCode('SLUICE_CONFIG'),
  )
})

test(
  'over a kill and a freeze, what was acknowledged is handled, and everything heals',
  { skip },
  async () => {
    const own = broker!
    const { brokers } = own
    await using open = await connectKafka({ brokers, requestTimeout: '1s', dialTimeout: '1s' })
    const [topic, group] = [ownName(), ownName()]
    await open.kafka.createTopic(topic, { partitions: 2 })
    const handled = new Seen<string>()
    const consumption = open.kafka.consume(topic, (message) => handled.add(message.text()), {
      group,
      retry: [],
      sessionTimeout: '2s',
      commitInterval: '50ms',
    })
    await consumption.ready
    const acknowledged: string[] = []
    let sent = 0
    let stopped = false
    const load = (async () => {
      while (!stopped) {
        const text = `m${sent++}`
        const startedAt = performance.now()
        const result = await open.kafka.publish(topic, text, { key: text }).catch((error: unknown) => error)
        if (!isSluiceError(result)) acknowledged.push(text)
        // Whatever happens, the caller is told at its deadline; a machine under load is given some.
        assert.ok(performance.now() - startedAt < 3_000)
        await new Promise((resolve) => setTimeout(resolve, 2))
      }
    })()
    const more = async (count: number): Promise<void> => {
      const from = acknowledged.length
      await eventually(() => Promise.resolve(acknowledged.length >= from + count ? true : undefined))
    }
    await more(50)
    await own.kill()
    await own.start()
    await more(50)
    own.freeze()
    await eventually(() =>
      open.kafka.topics().then(
        () => undefined,
        () => true,
      ),
    )
    own.thaw()
    await more(50)
    stopped = true
    await load
    await handled.when((items) => {
      const there = new Set(items)
      return acknowledged.every((text) => there.has(text))
    })
    await consumption.stop()
    assert.equal((await open.kafka.lag(topic, { group })).total, 0n)
  },
)
