import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { currentContext } from '../../../src/telemetry/context.ts'
import { activeTraceparent, parseTraceparent } from '../../../src/telemetry/trace.ts'
import { recordSpans } from '../../support/spans.ts'
import { at, connectRabbit, foreigner, Inbox, ownVhost, unique, until } from './support.ts'

const own = await ownVhost()
after(() => own[Symbol.asyncDispose]())
const { broker } = own
const spans = recordSpans()

test(
  'publisher, broker and handler are one trace, over retries too',
  { skip: own.skip, timeout: 30_000 },
  async () => {
    await using connected = await connectRabbit(at(broker))
    const queue = unique('traced')
    const inbox = new Inbox<{ active: string | undefined; carried: string | undefined }>()
    await connected.mq.subscribe(
      queue,
      queue,
      ({ attempt, traceparent }) => {
        inbox.add({ active: activeTraceparent(), carried: traceparent })
        if (attempt === 1) throw new Error('once more')
      },
      { backoff: { base: 1, cap: 1 } },
    ).live
    const [traceId] = await spans.request(() => connected.mq.publish(queue, 1))
    const [first, second] = await inbox.until(2)
    for (const seen of [first, second]) {
      assert.equal(parseTraceparent(seen?.active)?.traceId, traceId)
      assert.equal(parseTraceparent(seen?.carried)?.traceId, traceId)
    }
    const [published] = spans.named('mq publish')
    await until(() => spans.named(`process ${queue}`).length === 2)
    for (const span of spans.named(`process ${queue}`)) {
      assert.equal(span.spanContext().traceId, traceId)
      assert.equal(span.parentSpanContext?.spanId, published?.spanContext().spanId)
      assert.equal(span.attributes['messaging.system'], 'rabbitmq')
    }
    assert.equal(currentContext(), undefined)
  },
)

test(
  'tools that know nothing of CloudEvents find the trace where they look',
  { skip: own.skip, timeout: 30_000 },
  async () => {
    await using connected = await connectRabbit(at(broker))
    await using other = await foreigner(broker)
    const queue = unique('tools')
    await other.queueDeclare({ queue })
    await other.queueBind({ queue, exchange: 'sluice', routingKey: queue })
    const [traceId] = await spans.request(() => connected.mq.publish(queue, 1))
    const message = await other.basicGet({ queue, noAck: true })
    const { traceparent, 'cloudEvents:traceparent': inEnvelope } = (message?.headers ?? {}) as Record<
      string,
      string
    >
    assert.equal(parseTraceparent(traceparent)?.traceId, traceId)
    assert.equal(inEnvelope, traceparent)
  },
)
