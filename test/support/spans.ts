/** An SDK of traces that keeps what it is given, registered for the file that asks for it. */
import { after } from 'node:test'
import { context, trace } from '@opentelemetry/api'
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks'
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  SimpleSpanProcessor,
  type ReadableSpan,
} from '@opentelemetry/sdk-trace-base'
import { startSpan } from '../../src/telemetry/trace.ts'

export interface Spans {
  /** Those of the name that have ended. */
  named(name: string): readonly ReadableSpan[]
  /** Runs `body` as a request; its trace id, and what the body answered. */
  request<T>(body: () => PromiseLike<T>): Promise<readonly [traceId: string, answer: T]>
}

/** Until all tests of the file have run. */
export function recordSpans(): Spans {
  const exporter = new InMemorySpanExporter()
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable())
  trace.setGlobalTracerProvider(
    new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }),
  )
  after(() => {
    trace.disable()
    context.disable()
  })
  return {
    named: (name) => exporter.getFinishedSpans().filter((span) => span.name === name),
    async request(body) {
      const span = startSpan('request', { kind: 'server', attributes: {} })!
      const traceId = span.run(() => trace.getActiveSpan()!.spanContext().traceId)
      const answer = await span.run(body)
      span.end()
      return [traceId, answer]
    },
  }
}
