/**
 * Traces, through the OpenTelemetry API and only where an SDK is registered: without one nothing is loaded and a call
 * pays one look at a global.
 *
 * W3C trace context (https://www.w3.org/TR/trace-context/): `00-<32 hex trace id>-<16 hex parent id>-<2 hex flags>`.
 */
import type { Context, Link, Span, SpanContext } from '@opentelemetry/api'
import { isThenable } from '../core/async-result.ts'
import { isSluiceError, toError } from '../core/errors.ts'
import { hasTraceSdk, otelApi } from './otel-api.ts'
import { redactText } from './redact.ts'

export interface Traceparent {
  readonly traceId: string
  readonly spanId: string
  readonly sampled: boolean
}

const TRACEPARENT = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/

/** Reads a traceparent header; undefined for what the specification calls invalid. */
export function parseTraceparent(header: string | undefined): Traceparent | undefined {
  const match = header === undefined ? null : TRACEPARENT.exec(header.trim())
  if (match === null) return undefined
  const [, version, traceId, spanId, flags, rest] = match
  // Only a later version than ours may bring more fields; ff is none.
  if (version === 'ff' || (version === '00' && rest !== undefined)) return undefined
  if (/^0+$/.test(traceId!) || /^0+$/.test(spanId!)) return undefined
  return { traceId: traceId!, spanId: spanId!, sampled: (Number.parseInt(flags!, 16) & 1) === 1 }
}

export function formatTraceparent(trace: Traceparent): string {
  return `00-${trace.traceId}-${trace.spanId}-${trace.sampled ? '01' : '00'}`
}

/** The traceparent of the span that is active now; undefined without SDK or span. */
export function activeTraceparent(): string | undefined {
  if (!hasTraceSdk()) return undefined
  const span = otelApi().trace.getActiveSpan()
  if (span === undefined || !otelApi().isSpanContextValid(span.spanContext())) return undefined
  const { traceId, spanId, traceFlags } = span.spanContext()
  return formatTraceparent({ traceId, spanId, sampled: (traceFlags & 1) === 1 })
}

/** Runs `fn` so that spans begun in it are children of `traceparent`. Without SDK or traceparent it just runs it. */
export function runInTrace<T>(traceparent: string | undefined, fn: () => T): T {
  if (!hasTraceSdk()) return fn()
  const spanContext = remoteContext(traceparent)
  if (spanContext === undefined) return fn()
  const { context, trace } = otelApi()
  return context.with(trace.setSpanContext(context.active(), spanContext), fn)
}

export interface SpanFacts {
  /** `client`: a call to a dependency. `server`: a request. `consumer`: what somebody else left to be done. `internal`: work of our own. */
  readonly kind: 'client' | 'server' | 'consumer' | 'internal'
  /** Names only: never a statement, a key's value or a credential. */
  readonly attributes: Readonly<Record<string, string | number | boolean>>
  /** A trace of its own that points to the active span, for work that outlives it. @default a child of it */
  readonly detached?: boolean
  /** Traceparents of others that it points to; the first 100 that are different. */
  readonly links?: Iterable<string | undefined>
}

/** A span under way. */
export interface ActiveSpan {
  /** Runs `fn` with this span as the active one. */
  run<T>(fn: () => T): T
  set(attribute: string, value: string | number | boolean): void
  /** Ends it; with an error also says so in the span: its type, and the text of one of ours, redacted. Once. */
  end(error?: unknown): void
}

/** Begins a span as a child of the active one; undefined where no SDK is registered. */
export function startSpan(name: string, facts: SpanFacts): ActiveSpan | undefined {
  if (!hasTraceSdk()) return undefined
  const { context, trace, SpanKind } = otelApi()
  const kind = SpanKind[facts.kind.toUpperCase() as Uppercase<SpanFacts['kind']>]
  const active = context.active()
  const caller = trace.getSpanContext(active)
  const detached = facts.detached === true
  const links = linksTo(facts.links)
  if (detached && caller !== undefined) links.push({ context: caller })
  const options = { kind, attributes: facts.attributes, links, root: detached }
  const span = trace.getTracer('sluice').startSpan(name, options, active)
  return new OtelSpan(span, trace.setSpan(active, span))
}

const MAX_LINKS = 100

function linksTo(traceparents: Iterable<string | undefined> = []): Link[] {
  const seen = new Set<string>()
  const links: Link[] = []
  for (const traceparent of traceparents) {
    if (traceparent === undefined || seen.has(traceparent) || links.length === MAX_LINKS) continue
    seen.add(traceparent)
    const context = remoteContext(traceparent)
    if (context !== undefined) links.push({ context })
  }
  return links
}

/** Of a span elsewhere; undefined for what is no traceparent. */
function remoteContext(traceparent: string | undefined): SpanContext | undefined {
  const parent = parseTraceparent(traceparent)
  if (parent === undefined) return undefined
  const { TraceFlags } = otelApi()
  const traceFlags = parent.sampled ? TraceFlags.SAMPLED : TraceFlags.NONE
  return { traceId: parent.traceId, spanId: parent.spanId, traceFlags, isRemote: true }
}

/**
 * For background work: called where the work is handed in, returns what runs it later in a span of its own trace that is
 * linked to the caller's. The span ends when the work has settled. Without an SDK it just runs it.
 */
export function traceDetached(name: string): <T>(body: () => T) => T {
  const span = startSpan(name, { kind: 'internal', attributes: {}, detached: true })
  return (body) => runInSpan(span, body)
}

/** Runs `body` in the span, and ends that when what it returns has settled. */
export function runInSpan<T>(span: ActiveSpan | undefined, body: () => T): T {
  return span === undefined ? body() : span.run(() => endWith(span, body))
}

/** Ends the span when what the body returns has settled. */
function endWith<T>(span: ActiveSpan, body: () => T): T {
  let outcome: T
  try {
    outcome = body()
  } catch (error) {
    span.end(error)
    throw error
  }
  if (isThenable(outcome)) {
    outcome.then(
      () => span.end(),
      (error: unknown) => span.end(error ?? new Error('rejected with nothing')),
    )
  } else span.end()
  return outcome
}

class OtelSpan implements ActiveSpan {
  readonly #span: Span
  readonly #context: Context

  constructor(span: Span, context: Context) {
    this.#span = span
    this.#context = context
  }

  run<T>(fn: () => T): T {
    return otelApi().context.with(this.#context, fn)
  }

  set(attribute: string, value: string | number | boolean): void {
    this.#span.setAttribute(attribute, value)
  }

  end(error?: unknown): void {
    if (error !== undefined) {
      const type = isSluiceError(error) ? error.code : toError(error).name
      // Only texts of ours, which name no value: what others throw may quote a secret, which the log knows and takes out.
      const text = isSluiceError(error) ? { message: redactText(error.message) } : {}
      this.#span.recordException({ name: type, ...text })
      this.#span.setAttribute('error.type', type)
      this.#span.setStatus({ code: otelApi().SpanStatusCode.ERROR, ...text })
    }
    this.#span.end()
  }
}
