/** What the life of one component is run with. */
import type { Component, ComponentBase } from './component.ts'
import type { Phase } from './phase.ts'
import type { Clock } from '../core/clock.ts'

/** How often the background check runs and when its verdict turns. */
export interface CheckSettings {
  /** Milliseconds between two checks that succeed, ± 10 %. */
  readonly intervalMs: number
  /** Deadline of one check in milliseconds. */
  readonly timeoutMs: number
  /** Failures in a row until the component counts as down. */
  readonly downAfter: number
  /** Successes in a row until it counts as up again. */
  readonly upAfter: number
}

export interface RunnerOptions {
  readonly name: string
  readonly component: Component<ComponentBase>
  /** Components that must be ready before this one connects. */
  readonly dependsOn: readonly string[]
  /** Resolves when they are; undefined where there are none. */
  readonly dependenciesReady: (signal: AbortSignal) => Promise<void>
  /** Deadline of one connect in milliseconds. */
  readonly connectTimeoutMs: number
  readonly checks: CheckSettings
  readonly clock: Clock
  readonly random: () => number
  readonly onPhase: (phase: Phase) => void
}
