/**
 * Health endpoints. The three probes read cached state and reveal one word; everything else is detail, which is for
 * this machine and for bearers of the token only.
 *
 * /livez     would a restart help? 200 for as long as the loop turns, also while draining; never asks a dependency.
 * /startupz  is the boot finished? 200 from the moment the port is open.
 * /readyz    send me traffic? 503 until started, while a gated component or the `start` of a service is not up, and
 *            while draining.
 */
import type { InitStatus } from './init-status.ts'

/** What a component's state means for /readyz. */
export type Gate = 'startup' | 'always' | 'never'

export type Readiness = 'ready' | 'degraded' | 'starting' | 'unavailable' | 'draining'

export interface ReadinessInput {
  readonly started: boolean
  readonly draining: boolean
  /** Milliseconds since the port opened. */
  readonly sinceStartMs: number
  readonly maxStartupMs: number
  readonly components: readonly { readonly gate: Gate; readonly everUp: boolean; readonly up: boolean }[]
  /** Is there a service that has all it needs, and whose `start` has not succeeded? It is a gate at startup. */
  readonly startsPending: boolean
}

/** Pure, so that the whole table can be tested. */
export function readiness(input: ReadinessInput): Readiness {
  if (input.draining) return 'draining'
  if (!input.started) return 'starting'
  const { components, startsPending } = input
  if (components.some(({ gate, up, everUp }) => gate === 'always' && everUp && !up)) return 'unavailable'
  const waiting = components.some(({ gate, everUp }) => gate === 'always' && !everUp)
  if (waiting) return 'starting'
  const warming = startsPending || components.some(({ gate, everUp }) => gate === 'startup' && !everUp)
  if (warming && input.sinceStartMs < input.maxStartupMs) return 'starting'
  return startsPending || components.some(({ up }) => !up) ? 'degraded' : 'ready'
}

export const READY_STATUS: Readonly<Record<Readiness, 200 | 503>> = {
  ready: 200,
  degraded: 200,
  starting: 503,
  unavailable: 503,
  draining: 503,
}

export type HealthWord = 'ok' | 'degraded' | 'starting' | 'down' | 'draining'

const HEALTH_OF: Readonly<Record<Readiness, HealthWord>> = {
  ready: 'ok',
  degraded: 'degraded',
  starting: 'starting',
  unavailable: 'down',
  draining: 'draining',
}

/** The word that /health says. */
export function healthWord(state: Readiness): HealthWord {
  return HEALTH_OF[state]
}

/** 200 while the app is of use, 503 when it is down or going. */
export function healthCode(word: HealthWord): 200 | 503 {
  return word === 'down' || word === 'draining' ? 503 : 200
}

/** Body of /health for those who may see detail. */
export interface HealthReport {
  readonly status: HealthWord
  readonly server_ready: boolean
  readonly infrastructure: Readonly<Record<string, InitStatus>>
  /** 0 to 1. */
  readonly initialization_progress: number
  readonly services: Readonly<Record<string, unknown>>
}
