/**
 * The OpenTelemetry API, only where something has registered with it.
 *
 * An SDK announces itself in one global of the API. As long as that is not there nothing could record anything, so the
 * API package, 11 ms of import, is not loaded. Where it is there, the SDK has loaded the package already.
 */
import { createRequire } from 'node:module'
import type * as Api from '@opentelemetry/api'

interface ApiGlobal {
  readonly trace?: unknown
  readonly metrics?: unknown
}

const API_GLOBAL = Symbol.for('opentelemetry.js.api.1')
const holder = globalThis as { readonly [API_GLOBAL]?: ApiGlobal }

export function hasTraceSdk(): boolean {
  return holder[API_GLOBAL]?.trace !== undefined
}

export function hasMetricsSdk(): boolean {
  return holder[API_GLOBAL]?.metrics !== undefined
}

/** Loads the API. Synchronous, because a span that starts now cannot wait; call it only where an SDK is registered. */
export function otelApi(): typeof Api {
  return createRequire(import.meta.url)('@opentelemetry/api') as typeof Api
}
