/** What arrives at the bridge: once by source and id, and nothing that is no event gets further. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { RabbitMQ } from '../../../src/components/rabbitmq/index.ts'
import { event, type ForeignMapping } from '../../../src/events/index.ts'
import { foreigner } from '../../components/rabbitmq/support.ts'
import { anything, Seen, until } from '../support.ts'
import { unique } from './conformance/support.ts'
import { missingFor, openPlace, type Place } from './places.ts'

const skip = await missingFor('log+rabbitmq')
const options = { skip, timeout: 60_000 }

interface Foreign {
  readonly routingKey: string
  readonly body: string | Buffer
  readonly headers?: Record<string, unknown>
  readonly contentType?: string
  readonly messageId?: string
}

/** Publishes as programs of others do, with a confirm. */
async function send(place: Place, messages: readonly Foreign[]): Promise<void> {
  await using client = await foreigner(place.vhost!)
  const publisher = client.createPublisher({ confirm: true })
  for (const { body, contentType = 'application/json', ...rest } of messages)
    await publisher.send({ exchange: 'sluice', durable: true, contentType, ...rest }, Buffer.from(body))
  await publisher.close()
}

const envelope = (id: string, type: string, more: Record<string, string> = {}): Record<string, string> => ({
  'cloudEvents:specversion': '1.0',
  'cloudEvents:id': id,
  'cloudEvents:source': '/others',
  'cloudEvents:type': type,
  ...more,
})

test('an event that comes twice is written once, by its source and id together', options, async () => {
  await using place = await openPlace('log+rabbitmq')
  const reader = await place.join('reader')
  const Placed = event(unique('order'), anything<number>())
  const seen = new Seen<readonly [number, string | undefined, string | undefined, string | undefined]>()
  const subscription = reader.events.subscribe(Placed, 'orders', ({ data, origin, key }) =>
    seen.add([data, origin?.source, origin?.id, key]),
  )
  await subscription.ready()
  const { topic } = Placed
  const one = { routingKey: topic, headers: envelope('1', topic, { 'cloudEvents:partitionkey': 'k' }) }
  const other = { 'cloudEvents:source': '/elsewhere' }
  await send(place, [
    { ...one, body: '1' },
    { ...one, body: '1' },
    { routingKey: topic, headers: envelope('1', topic, other), body: '2' },
    { ...one, body: '1' },
    { routingKey: topic, headers: envelope('end', topic), body: '3' },
  ])
  await seen.atLeast(3)
  assert.deepEqual(seen.all, [
    [1, '/others', '1', 'k'],
    [2, '/elsewhere', '1', undefined],
    [3, '/others', 'end', undefined],
  ])
  const rows = await reader.db!.query(`select from sluice.event`)
  assert.equal(rows.length, 3)
})

test('newer names of headers, and a long id, are read as well', options, async () => {
  await using place = await openPlace('log+rabbitmq')
  const reader = await place.join('reader')
  const Placed = event(unique('order'), anything<number>(), { version: 2 })
  const seen = new Seen<string | undefined>()
  await reader.events.subscribe(Placed, 'orders', ({ origin }) => seen.add(origin?.id)).ready()
  const id = 'x'.repeat(900)
  const headers = Object.fromEntries(
    Object.entries(envelope(id, Placed.topic, { 'cloudEvents:schemaversion': '2' })).map(([name, value]) => [
      name.replace(':', '_'),
      value,
    ]),
  )
  await send(place, [
    { routingKey: Placed.topic, headers, body: '1' },
    { routingKey: Placed.topic, headers, body: '1' },
    { routingKey: Placed.topic, headers: envelope('end', Placed.topic), body: '1' },
  ])
  await seen.atLeast(2)
  assert.deepEqual(seen.all, [id, 'end'])
})

test('what is no event is a dead letter with its bytes, and holds up nobody', options, async () => {
  await using place = await openPlace('log+rabbitmq')
  const reader = await place.join('reader', { maxBodySize: 1_000 })
  const Placed = event(unique('order'), anything<unknown>())
  const { topic } = Placed
  const seen = new Seen<unknown>()
  await reader.events.subscribe(Placed, 'orders', ({ data }) => seen.add(data)).ready()
  const bad: readonly (readonly [reason: RegExp, message: Omit<Foreign, 'routingKey'>])[] = [
    [/no CloudEvents envelope/, { body: '{"plain":1}' }],
    [
      /"source" is missing/,
      { body: '1', headers: { 'cloudEvents:specversion': '1.0', 'cloudEvents:id': 'a' } },
    ],
    [
      /"specversion" is not 1/,
      { body: '1', headers: envelope('b', topic, { 'cloudEvents:specversion': '2.0' }) },
    ],
    [/no topic/, { body: '1', headers: envelope('c', 'not a topic!') }],
    [/no JSON/, { body: '{"a":', headers: envelope('d', topic) }],
    [/no UTF-8/, { body: Buffer.from([0x22, 0xff, 0xfe, 0x22]), headers: envelope('e', topic) }],
    [/content type is text\/xml/, { body: '<a/>', contentType: 'text/xml', headers: envelope('f', topic) }],
    [/limit is 1000/, { body: JSON.stringify('x'.repeat(2_000)), headers: envelope('g', topic) }],
    [
      /key is no text/,
      { body: '1', headers: envelope('h', topic, { 'cloudEvents:partitionkey': 'k'.repeat(201) }) },
    ],
    [
      /version is no whole number/,
      { body: '1', headers: envelope('i', topic, { 'cloudEvents:schemaversion': '5000' }) },
    ],
  ]
  await send(place, [
    ...bad.map(([, message]) => ({ routingKey: topic, ...message })),
    {
      routingKey: topic,
      headers: envelope('deep', topic),
      body: '{"__proto__":{"polluted":true},"constructor":1}',
    },
  ])
  await seen.atLeast(1)
  assert.equal(({} as Record<string, unknown>)['polluted'], undefined)
  const letters = (reader.broker as unknown as RabbitMQ).deadLetters(`${reader.appName}/events/bridge`)
  const dead = await until(
    () => letters.list(),
    (all) => all.length === bad.length,
  )
  for (const [reason, { body }] of bad) {
    const letter = dead.find((each) => reason.test(each.reason))
    assert.ok(
      letter,
      `no dead letter says ${reason}; there are ${dead.map((each) => each.reason).join(' | ')}`,
    )
    assert.deepEqual(letter.bytes, Buffer.from(body))
  }
  assert.equal(seen.all.length, 1)
})

test(
  'a mapping makes events of messages without an envelope, leaves some aside, and what it throws is a reason',
  options,
  async () => {
    await using place = await openPlace('log+rabbitmq')
    const topic = unique('order')
    const map: ForeignMapping = ({ topic: routingKey, bytes, headers, id, broker }) => {
      const text = bytes.toString()
      if (text === 'aside') return undefined
      if (text === 'broken') throw new Error('the order has no number')
      return {
        topic,
        id: `${broker}:${id}`,
        source: 'legacy',
        key: routingKey,
        data: { text },
        headers: { tenant: String(headers['tenant']) },
      }
    }
    const reader = await place.join('reader', { map, bridgeTopics: ['legacy.*'] })
    const seen = new Seen<readonly unknown[]>()
    const Placed = event(topic, anything<{ text: string }>())
    await reader.events
      .subscribe(Placed, 'orders', ({ data, key, headers, origin }) =>
        seen.add([data.text, key, headers['tenant'], origin?.source, origin?.id]),
      )
      .ready()
    const message = { routingKey: 'legacy.orders', contentType: 'text/plain', headers: { tenant: 'a' } }
    await send(place, [
      { ...message, body: 'aside', messageId: '1' },
      { ...message, body: 'broken', messageId: '2' },
      { ...message, body: 'good', messageId: '3' },
      { ...message, body: 'good', messageId: '3' },
      { ...message, body: 'last', messageId: '4' },
    ])
    await seen.atLeast(2)
    assert.deepEqual(seen.all, [
      ['good', 'legacy.orders', 'a', 'legacy', 'rabbitmq:3'],
      ['last', 'legacy.orders', 'a', 'legacy', 'rabbitmq:4'],
    ])
    const letters = (reader.broker as unknown as RabbitMQ).deadLetters(`${reader.appName}/events/bridge`)
    const dead = await until(
      () => letters.list(),
      (all) => all.length > 0,
    )
    assert.deepEqual(
      dead.map(({ reason, bytes }) => [reason, bytes.toString()]),
      [['the order has no number', 'broken']],
    )
  },
)

test(
  'what a service published itself comes back over the broker and is not written again',
  options,
  async () => {
    await using place = await openPlace('log+rabbitmq')
    const both = await place.join('writer')
    const Made = event(unique('own'), anything<number>())
    const seen = new Seen<number>()
    await both.events
      .subscribe(Made, 'own', ({ data, origin }) => {
        assert.equal(origin, undefined)
        seen.add(data)
      })
      .ready()
    for (let n = 0; n < 5; n++) await both.events.publish(Made, n)
    await seen.atLeast(5)
    const count = (text: string): number =>
      Number(
        new RegExp(`sluice_events_bridged_total\\{[^}]*outcome="${text}"[^}]*\\} (\\d+)`).exec(
          both.component.metrics.expose(),
        )?.[1] ?? 0,
      )
    await until(
      async () => count('own'),
      (own) => own === 5,
    )
    assert.equal(count('stored'), 0)
    assert.deepEqual(new Set(seen.all), new Set([0, 1, 2, 3, 4]))
    assert.equal(seen.all.length, 5)
    assert.equal((await both.db!.query('select from sluice.event')).length, 5)
  },
)
