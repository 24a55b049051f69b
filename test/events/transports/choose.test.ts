/** Which way events take is decided by the setting, the components and their addresses; what cannot be is said at the start. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { kafka } from '../../../src/components/kafka/index.ts'
import { postgres } from '../../../src/components/postgres/index.ts'
import { rabbitmq } from '../../../src/components/rabbitmq/index.ts'
import { createApp, silentLogger } from '../../../src/index.ts'
import { isSluiceError } from '../../../src/core/errors.ts'
import { events, type EventsOptions } from '../../../src/events/index.ts'
import { openComponent } from '../../../src/testing/connect-component.ts'

const MQ = { rabbitmq: { host: '127.0.0.1:1' } }
const KAFKA = { kafka: { brokers: '127.0.0.1:1' } }
const DB = { postgres: true }

/** What the component says it is, with the components that are there. */
async function wayOf(
  options: EventsOptions,
  there: { readonly postgres?: boolean; readonly rabbitmq?: object; readonly kafka?: object },
  env: Record<string, string> = {},
): Promise<string> {
  const opened = {
    ...(there.postgres === undefined
      ? {}
      : { postgres: await openComponent(postgres({ dsn: 'postgres://127.0.0.1:1/x' })) }),
    ...(there.rabbitmq === undefined ? {} : { rabbitmq: await openComponent(rabbitmq(there.rabbitmq)) }),
    ...(there.kafka === undefined ? {} : { kafka: await openComponent(kafka(there.kafka)) }),
  }
  const required = Object.fromEntries(Object.entries(opened).map(([kind, { api }]) => [kind, api]))
  try {
    await using own = await openComponent(events(options), { required, env })
    const { transport = 'log' } = own.component.inspect()
    return String(transport)
  } finally {
    for (const each of Object.values(opened)) await each.close()
  }
}

test('the log is the default, also where there is a broker', async () => {
  assert.equal(await wayOf({}, DB), 'log')
  assert.equal(await wayOf({}, { ...DB, ...MQ, ...KAFKA }), 'log')
})

test('a broker behind the log where there is a database, and alone where there is none or none is wanted', async () => {
  assert.equal(await wayOf({ transport: 'rabbitmq' }, { ...DB, ...MQ }), 'log+rabbitmq')
  assert.equal(await wayOf({ transport: 'kafka' }, { ...DB, ...MQ, ...KAFKA }), 'log+kafka')
  assert.equal(await wayOf({ transport: 'kafka' }, KAFKA), 'kafka')
  assert.equal(await wayOf({ transport: 'rabbitmq', database: false }, { ...DB, ...MQ }), 'rabbitmq')
  assert.equal(await wayOf({}, { ...DB, ...KAFKA }, { EVENTS_TRANSPORT: 'kafka' }), 'log+kafka')
})

test('auto takes the broker that has an address, else the log', async () => {
  assert.equal(await wayOf({ transport: 'auto' }, DB), 'log')
  assert.equal(await wayOf({ transport: 'auto' }, { ...DB, ...MQ }), 'log+rabbitmq')
  assert.equal(await wayOf({ transport: 'auto' }, { ...DB, ...KAFKA }), 'log+kafka')
  assert.equal(await wayOf({ transport: 'auto' }, MQ), 'rabbitmq')
})

test('in an app an address alone decides, and events wait for no broker', async () => {
  const base = { name: 'shop', port: 0, host: '127.0.0.1', logger: silentLogger, configFile: false } as const
  for (const [env, way] of [
    [{}, 'log'],
    [{ MQ_HOST: '127.0.0.1:1' }, 'log+rabbitmq'],
    [{ KAFKA_BROKERS: '127.0.0.1:1' }, 'log+kafka'],
  ] as const) {
    await using app = createApp({
      ...base,
      env,
      components: {
        db: postgres({ dsn: 'postgres://127.0.0.1:1/nowhere' }),
        mq: rabbitmq(),
        kafka: kafka(),
        log: events({ transport: 'auto' }),
      },
    })
    await app.start()
    assert.equal(app.components.log.status()['transport'], way)
    assert.equal(app.init.status()['log']?.note, 'waits for db')
  }
})

for (const [what, call, says] of [
  [
    'a broker without an address',
    () => wayOf({ transport: 'rabbitmq' }, DB),
    /no component rabbitmq that is configured/,
  ],
  [
    'two brokers for auto',
    () => wayOf({ transport: 'auto' }, { ...DB, ...MQ, ...KAFKA }),
    /both rabbitmq and kafka/,
  ],
  ['neither database nor broker', () => wayOf({ transport: 'auto' }, {}), /neither a database nor a broker/],
  [
    'a transport that is none',
    () => wayOf({ transport: 'carrier-pigeon' as never }, DB),
    /one of log, rabbitmq, kafka, auto/,
  ],
  ['a channel that Kafka does not take', () => wayOf({ channel: 'a b' }, DB), /1 to 120 letters/],
  ['patterns that are none', () => wayOf({ relayTopics: ['a..b'] }, DB), /patterns of topics/],
] as const) {
  test(`${what} is refused with SLUICE_CONFIG, and says what to do`, async () => {
    await assert.rejects(call, (error) => {
      assert.ok(isSluiceError(error))
      assert.equal(error.code, 'SLUICE_CONFIG')
      assert.match(error.message, says)
      return true
    })
  })
}
