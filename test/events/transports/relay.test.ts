/** The relay: what a broker does not take, a broker that is away, and what is traced of it. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { trace } from '@opentelemetry/api'
import type { Kafka } from '../../../src/components/kafka/index.ts'
import type { RabbitMQ } from '../../../src/components/rabbitmq/index.ts'
import { hasCode } from '../../../src/core/errors.ts'
import { event } from '../../../src/events/index.ts'
import { recordSpans } from '../../support/spans.ts'
import { anything, Seen, until } from '../support.ts'
import { unique } from './conformance/support.ts'
import { missingFor, openPlace, type Service } from './places.ts'

const spans = recordSpans()
const [noRabbit, noKafka] = [await missingFor('log+rabbitmq'), await missingFor('log+kafka')]
const timeout = 60_000

const counter = ({ component }: Service, name: string): number =>
  Number(new RegExp(`^${name}\\{[^}]*\\} (\\d+)`, 'm').exec(component.metrics.expose())?.[1] ?? 0)

for (const [kind, skip, limits] of [
  ['rabbitmq', noRabbit, { maxMessageBytes: '2kb' }],
  ['kafka', noKafka, { maxMessageBytes: '2kb' }],
] as const) {
  test(
    `${kind}: an event that the broker never takes is a dead letter of the relay, and the others go on`,
    { skip, timeout },
    async () => {
      await using place = await openPlace(`log+${kind}`)
      const writer = await place.join('writer', { limits })
      const reader = await place.join('reader')
      const Made = event(unique('large'), anything<string>())
      const seen = new Seen<string>()
      await reader.events.subscribe(Made, 'all', ({ data }) => seen.add(data)).ready()
      await writer.events.publishMany(Made, [
        { data: 'one', key: 'k' },
        { data: 'x'.repeat(3_000), key: 'k' },
        { data: 'two', key: 'k' },
      ])
      await seen.atLeast(2)
      assert.deepEqual(seen.all, ['one', 'two'])
      const subscription = `relay:${kind}`
      const [letter] = await until(
        () => writer.events.deadLetters.list({ subscription }),
        (all) => all.length === 1,
      )
      assert.match(letter?.why ?? '', /the broker cannot take it: .* the limit is 2048/)
      assert.equal(letter?.data, 'x'.repeat(3_000))
    },
  )
}

test(
  'with unroutable: accept an event that no queue takes is counted and the relay goes on; with refuse it is a dead letter',
  { skip: noRabbit, timeout },
  async () => {
    await using place = await openPlace('log+rabbitmq')
    const Made = event(unique('nobody'), anything<number>())
    {
      const accepting = await place.join('writer')
      await accepting.events.publish(Made, 1)
      await until(
        async () => counter(accepting, 'sluice_events_unroutable_total'),
        (count) => count === 1,
      )
      assert.deepEqual(await accepting.events.deadLetters.list(), [])
      await accepting[Symbol.asyncDispose]()
    }
    const refusing = await place.join('writer', { unroutable: 'refuse' })
    await refusing.events.publish(Made, 2)
    const [letter] = await until(
      () => refusing.events.deadLetters.list({ subscription: 'relay:rabbitmq' }),
      (all) => all.length === 1,
    )
    assert.match(letter?.why ?? '', /no queue of the exchange/)
    // Somebody binds a queue, and it can be sent.
    const mq = refusing.broker as unknown as RabbitMQ
    const got = new Seen<unknown>()
    await mq.subscribe(Made.topic, 'late', ({ data }) => got.add(data)).live
    await refusing.events.deadLetters.redrive({ subscription: 'relay:rabbitmq' })
    await got.atLeast(1)
    assert.deepEqual(got.all, [2])
  },
)

test(
  'on RabbitMQ alone an event that no queue takes is refused to its publisher',
  { skip: noRabbit, timeout },
  async () => {
    await using place = await openPlace('rabbitmq')
    const writer = await place.join('writer')
    const Made = event(unique('nobody'), anything<number>())
    await assert.rejects(
      async () => await writer.events.publish(Made, 1),
      (error) => hasCode(error, 'SLUICE_UNROUTABLE'),
    )
  },
)

for (const kind of ['rabbitmq', 'kafka'] as const) {
  const skip = kind === 'kafka' ? noKafka : noRabbit
  test(
    `${kind}: with a broker that is away the log works, and a stop does not wait for it`,
    { skip, timeout },
    async () => {
      await using place = await openPlace(`log+${kind}`)
      // Nobody listens there.
      const writer = await place.join('writer', {
        address: '127.0.0.1:9',
        away: true,
        shutdownTimeout: '10m',
      })
      const Made = event(unique('away'), anything<number>())
      const seen = new Seen<number>()
      // Whether it begins before they are published or behind that.
      const options = { from: 'beginning' } as const
      const subscription = writer.events.subscribe(Made, 'own', ({ data }) => seen.add(data), options)
      for (let n = 0; n < 3; n++) await writer.events.publish(Made, n)
      await seen.atLeast(3)
      const lag = await until(
        () => writer.events.lag(),
        (all) => all.some(({ name, events }) => name === `relay:${kind}` && events >= 3),
      )
      assert.ok(lag.length >= 2)
      // With the usual limit of handlers it would end in time whatever it waits for.
      await subscription.stop()
      await writer[Symbol.asyncDispose]()
    },
  )

  test(`${kind}: publisher, relay, broker and handler are one trace`, { skip, timeout }, async () => {
    await using place = await openPlace(`log+${kind}`)
    const writer = await place.join('writer')
    const reader = await place.join('reader')
    const Made = event(unique('traced'), anything<number>())
    const seen = new Seen<string | undefined>()
    const name = unique('traced')
    await reader.events
      .subscribe(Made, name, () => seen.add(trace.getActiveSpan()?.spanContext().traceId))
      .ready()
    const [traceId] = await spans.request(() => writer.events.publish(Made, 1))
    await seen.atLeast(1)
    assert.deepEqual(seen.all, [traceId])
    const relays = await until(
      async () => spans.named(`event relay:${kind}`),
      (all) => all.some(({ links }) => links.some(({ context }) => context.traceId === traceId)),
    )
    assert.ok(relays.length > 0)
    assert.ok(spans.named(`event ${name}`).every((span) => span.spanContext().traceId === traceId))
  })
}

test(
  'kafka: a message without an envelope is a dead letter of the bridge with its bytes',
  { skip: noKafka, timeout },
  async () => {
    await using place = await openPlace('log+kafka')
    const reader = await place.join('reader')
    const Made = event(unique('plain'), anything<number>())
    const seen = new Seen<number>()
    await reader.events.subscribe(Made, 'all', ({ data }) => seen.add(data)).ready()
    const kafka = reader.broker as unknown as Kafka
    await kafka.publish(place.channel, 'plain bytes', { key: 'k' })
    await kafka.publish(place.channel, 7, { key: 'k', event: { type: Made.topic, id: '1', source: '/shop' } })
    await kafka.publish(place.channel, 7, { key: 'k', event: { type: Made.topic, id: '1', source: '/shop' } })
    await kafka.publish(place.channel, 8, { key: 'k', event: { type: Made.topic, id: '2', source: '/shop' } })
    await seen.atLeast(2)
    assert.deepEqual(seen.all, [7, 8])
    const group = `${reader.appName}.events.bridge`
    const [letter, ...others] = await until(
      () => kafka.deadLetters(place.channel, { group }),
      (all) => all.length > 0,
    )
    assert.equal(others.length, 0)
    assert.equal(letter?.value?.toString(), 'plain bytes')
    assert.match(letter.reason, /no CloudEvents envelope/)
  },
)
