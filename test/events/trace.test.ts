/** What is traced of deliveries, with the real SDK. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SpanKind, trace } from '@opentelemetry/api'
import { event } from '../../src/events/index.ts'
import { recordSpans } from '../support/spans.ts'
import { anything, place, Seen, until } from './support.ts'

const spans = recordSpans()
const Created = event('todo.created', anything<{ n: number }>())
const quick = { from: 'beginning', backoff: { base: 1, max: 5 } } as const

test('a delivery is a span in the trace of the publisher, as is its dead letter', async () => {
  await using here = await place()
  const peer = await here.peer()
  const inside = new Seen<string | undefined>()
  const note = (): void => inside.add(trace.getActiveSpan()?.spanContext().traceId)
  peer.events.subscribe(Created, 'works', note, quick)
  peer.events.subscribe(
    Created,
    'fails',
    () => {
      note()
      throw new TypeError('no')
    },
    { ...quick, attempts: 2 },
  )
  const [traceId] = await spans.request(() => peer.events.publish(Created, { n: 1 }))
  const [letter] = await until(
    () => peer.events.deadLetters.list(),
    (list) => list.length > 0,
  )
  assert.equal(letter?.traceId, traceId)
  await inside.atLeast(3)
  assert.deepEqual(inside.all, [traceId, traceId, traceId])
  const [works] = spans.named('event works')
  assert.deepEqual([works?.kind, works?.spanContext().traceId], [SpanKind.CONSUMER, traceId])
  assert.deepEqual(
    spans
      .named('event fails')
      .map(({ attributes }) => [attributes['sluice.event.attempt'], attributes['error.type']]),
    [
      [1, 'TypeError'],
      [2, 'TypeError'],
    ],
  )
})

test('a batch is one span, with a link to each trace that it works for', async () => {
  await using here = await place()
  const peer = await here.peer()
  const publish = (): PromiseLike<unknown> =>
    peer.events.publishMany(
      Created,
      [1, 2].map((n) => ({ data: { n } })),
    )
  const [one] = await spans.request(publish)
  const [other] = await spans.request(publish)
  const done = new Seen<number>()
  peer.events.subscribe(
    Created,
    'many',
    ({ events }) => {
      for (const { data } of events) done.add(data.n)
    },
    { ...quick, batch: 10 },
  )
  await done.atLeast(4)
  const ended = await until(
    () => Promise.resolve(spans.named('event many')),
    (list) => list.reduce((sum, { attributes }) => sum + Number(attributes['sluice.events']), 0) === 4,
  )
  assert.ok(ended.length <= 2, 'a span for each event')
  assert.ok(ended.every(({ parentSpanContext }) => parentSpanContext === undefined))
  assert.deepEqual(
    ended.flatMap(({ links }) => links.map(({ context }) => context.traceId)),
    [one, other],
  )
})
