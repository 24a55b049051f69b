/** What is traced of jobs, with the real SDK. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SpanKind, trace } from '@opentelemetry/api'
import { z } from 'zod'
import { job } from '../../src/jobs/index.ts'
import { recordSpans } from '../support/spans.ts'
import { eventually, testJobs } from './support.ts'

const spans = recordSpans()

test('an attempt is a span in the trace of who enqueued the job, as is its dead letter', async () => {
  await using it = await testJobs()
  const Fails = job('fails', z.number(), { attempts: 2, backoff: { base: 1 } })
  const inside: (string | undefined)[] = []
  it.jobs.handle(Fails, () => {
    inside.push(trace.getActiveSpan()?.spanContext().traceId)
    throw new TypeError('no')
  })
  const [traceId, { id }] = await spans.request(() => it.jobs.enqueue(Fails, 1))
  const letter = await eventually(() => it.jobs.deadLetters.get(id))
  assert.equal(letter.traceId, traceId)
  assert.deepEqual(inside, [traceId, traceId])
  const runs = spans.named('job fails')
  assert.deepEqual(
    runs.map((span) => [span.kind, span.spanContext().traceId, span.attributes['sluice.job.attempt']]),
    [
      [SpanKind.CONSUMER, traceId, 1],
      [SpanKind.CONSUMER, traceId, 2],
    ],
  )
  assert.equal(runs[0]?.attributes['error.type'], 'TypeError')
})

test('a batch is one span, with a link to each trace that it works for', async () => {
  await using it = await testJobs()
  const Many = job('many', z.number())
  const enqueue = (): PromiseLike<unknown> => it.jobs.enqueueMany(Many, [{ data: 1 }, { data: 2 }])
  const [one] = await spans.request(enqueue)
  const [other] = await spans.request(enqueue)
  const done = Promise.withResolvers<number>()
  it.jobs.handle(Many, ({ jobs }) => done.resolve(jobs.length), { batch: 10 })
  assert.equal(await done.promise, 4)
  const [span, ...more] = await eventually(async () => {
    const ended = spans.named('job many')
    return Promise.resolve(ended.length > 0 ? ended : undefined)
  })
  assert.deepEqual(more, [])
  assert.equal(span?.kind, SpanKind.CONSUMER)
  assert.equal(span?.attributes['sluice.jobs'], 4)
  assert.equal(span?.parentSpanContext, undefined)
  assert.deepEqual(
    span?.links.map(({ context }) => context.traceId),
    [one, other],
  )
})
