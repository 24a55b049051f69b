import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { describeAddress, parseHosts, parseUrl } from '../../../src/components/rabbitmq/address.ts'
import { rabbitmq, type RabbitMQOptions } from '../../../src/components/rabbitmq/index.ts'
import { createApp, silentLogger } from '../../../src/index.ts'
import { openComponent } from '../../../src/testing/connect-component.ts'
import { hasCode } from './support.ts'

test('addresses of one broker and of a cluster are read', () => {
  assert.deepEqual(parseUrl('amqp://ada:p%40ss@mq:5673/shop%2Fa'), {
    addresses: [{ host: 'mq', port: 5673 }],
    tls: false,
    user: 'ada',
    password: 'p@ss',
    vhost: 'shop/a',
  })
  assert.deepEqual(parseUrl('amqps://one,two:1,[::1]:2/'), {
    addresses: [
      { host: 'one', port: 5671 },
      { host: 'two', port: 1 },
      { host: '::1', port: 2 },
    ],
    tls: true,
  })
  assert.deepEqual(parseHosts('a, b:1', 5672), [
    { host: 'a', port: 5672 },
    { host: 'b', port: 1 },
  ])
  assert.equal(describeAddress({ host: '::1', port: 2 }), '[::1]:2')
})

test('wrong addresses say what is expected, and never repeat what they were', () => {
  const wrong = [
    '',
    'mq',
    'http://mq',
    'amqp://',
    'amqp://mq:0',
    'amqp://mq:65536',
    'amqp://a:%zz@mq',
    'amqp://mq/%',
    'amqp://s3cret@a@mq',
    'amqp://mq?heartbeat=1',
  ]
  for (const text of wrong) {
    const parsed = parseUrl(text)
    assert.ok('expected' in parsed, text)
    assert.ok(!parsed.expected.includes('s3cret'))
  }
  for (const text of ['', ',', 'a b', 'a:b', 'user@mq', 'mq:0', 'amqp://mq'])
    assert.ok('expected' in parseHosts(text, 1), text)
})

test('whatever is given as an address, it is read or refused, and never throws', () => {
  fc.assert(
    fc.property(
      fc.string(),
      (text) => void [parseUrl(text), parseUrl(`amqp://${text}`), parseHosts(text, 1)],
    ),
  )
})

test('wrong settings stop the start, each with its place', async () => {
  const wrong: readonly (readonly [RabbitMQOptions, RegExp])[] = [
    [{ url: 'http://mq' }, /rabbitmq\.url/],
    [{ host: 'a b' }, /rabbitmq\.host/],
    [{ port: 0 }, /rabbitmq\.port/],
    [{ exchange: 'amq.topic' }, /rabbitmq\.exchange/],
    [{ exchange: 'sluice.delay' }, /rabbitmq\.exchange/],
    [{ heartbeat: '100ms' }, /rabbitmq\.heartbeat/],
    [{ maxMessageBytes: '1gb' }, /rabbitmq\.maxMessageBytes/],
    [{ maxOutstanding: 0 }, /rabbitmq\.maxOutstanding/],
  ]
  for (const [options, pattern] of wrong)
    await assert.rejects(openComponent(rabbitmq(options)), hasCode('SLUICE_CONFIG', pattern))
})

test('the names that deployments have are read from the environment', async () => {
  const env = {
    MQ_HOST: '127.0.0.1',
    MQ_PORT: '1',
    MQ_USER: 'ada',
    MQ_PASSWORD: 's3cret',
    MQ_DIAL_TIMEOUT: '1',
  }
  await using open = await openComponent(rabbitmq(), { env })
  await assert.rejects(open.connect(), hasCode('SLUICE_UNAVAILABLE', /127\.0\.0\.1:1/))
})

test('without an address it is disabled, and the app says why', async () => {
  const app = createApp({
    name: 'none',
    port: 0,
    host: '127.0.0.1',
    env: {},
    logger: silentLogger,
    components: { mq: rabbitmq() },
  })
  await app.start()
  try {
    await app.init.ready()
    assert.match(JSON.stringify(app.init.status()), /"mq".*not configured/)
  } finally {
    await app.stop()
  }
})
