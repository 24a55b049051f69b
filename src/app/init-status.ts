/** A component as `app.init.status()` and `/health` show it. It holds no secret and no host. */
import type { Inspection } from './component.ts'
import { phaseOf, type Entry } from './entry.ts'
import { phaseError, type Phase } from './phase.ts'
import type { ComponentRunner } from './runner.ts'
import type { Clock } from '../core/clock.ts'
import { isSluiceError } from '../core/errors.ts'

export interface InitStatus {
  readonly name: string
  readonly kind: string
  readonly state: Phase['state']
  /** Has it been ready at least once? */
  readonly initialized: boolean
  /** Code and text of what is wrong, or null. Hosts and credentials are taken out. */
  readonly error: string | null
  /** ISO time at which the first connect began, or null. */
  readonly start_time: string | null
  /** Milliseconds that the last connect took, or that the one under way has taken; null before it began. */
  readonly duration: number | null
  /** 0 to 1. */
  readonly progress: number
  /** What it does or waits for at the moment, or null. */
  readonly note: string | null
  /** Connects tried so far. */
  readonly attempts: number
  readonly depends_on: readonly string[]
  /** What the component says about itself. */
  readonly details: Inspection
}

export interface StatusOptions {
  readonly clock: Clock
  /** Takes hosts and secrets out of a text. */
  readonly redact: (text: string) => string
}

export function statusOf(entry: Entry, { clock, redact }: StatusOptions): InitStatus {
  const { runner, component, definition, name } = entry
  const phase = phaseOf(entry)
  const error = phaseError(phase)
  const startedAt = runner?.attempts.startedAt
  return {
    name,
    kind: definition.kind,
    state: phase.state,
    initialized: runner?.everConnected ?? false,
    error: error === undefined ? null : redact(errorLine(error)),
    start_time: startedAt === undefined ? null : new Date(startedAt).toISOString(),
    duration: durationOf(runner, clock),
    progress: runner?.attempts.progress ?? 0,
    note: noteOf(phase, runner),
    attempts: runner?.attempts.count ?? 0,
    depends_on: definition.dependsOn,
    details: component?.inspect() ?? {},
  }
}

function durationOf(runner: ComponentRunner | undefined, clock: Clock): number | null {
  if (runner?.attempts.startedAt === undefined) return null
  return Math.round(runner.attempts.connectMs ?? Math.max(0, clock.now() - runner.attempts.startedAt))
}

function noteOf(phase: Phase, runner: ComponentRunner | undefined): string | null {
  if (phase.state === 'disabled') return phase.reason
  if (phase.state === 'waiting')
    return phase.needs.length === 0 ? null : `waits for ${phase.needs.join(', ')}`
  if (phase.state === 'connecting') return runner?.attempts.note ?? null
  return null
}

/** `CODE: message (what to do)`, the code of the driver where the error is not one of ours. */
function errorLine(error: Error): string {
  if (isSluiceError(error)) {
    return `${error.code}: ${error.message}${error.hint === undefined ? '' : ` (${error.hint})`}`
  }
  return 'code' in error && typeof error.code === 'string' ? `${error.code}: ${error.message}` : error.message
}
