/**
 * All components of an app: made once, connected in the background in waves, observed, closed in reverse.
 *
 * A component connects as soon as those that it depends on are ready; all others connect at the same time.
 */
import type { FastifyInstance } from 'fastify'
import type { ComponentBase } from './component.ts'
import { allReady, createEntry, type Entry, type EntryOptions, type LiveEntry } from './entry.ts'
import { namesInOrder } from './graph.ts'
import { statusOf, type InitStatus } from './init-status.ts'
import type { Phase } from './phase.ts'
import type { Closer } from './shutdown.ts'
import { Timeline, type TimelineEntry } from './timeline.ts'
import { hasCode, toError } from '../core/errors.ts'

export interface InitOptions extends EntryOptions {
  /** Takes hosts and secrets out of a text. */
  readonly redact: (text: string) => string
  /** Called after every change of a component's state. */
  readonly onChange: () => void
  /** Called when a component cannot have what it works on, because it is another's: to try again is vain. */
  readonly onRefused: (error: Error) => void
}

export class Init {
  readonly #options: InitOptions
  readonly #entries = new Map<string, Entry>()
  readonly #timeline: Timeline

  constructor(options: InitOptions) {
    this.#options = options
    this.#timeline = new Timeline(options.clock, options.log)
    for (const name of namesInOrder(options.definitions)) {
      const onPhase = (phase: Phase): void => this.#changed(name, phase)
      this.#entries.set(name, createEntry(name, options, this.#entries, onPhase))
    }
  }

  /** Names of those that are not disabled. */
  get enabled(): readonly string[] {
    return this.#live().map((entry) => entry.name)
  }
  get timeline(): readonly TimelineEntry[] {
    return this.#timeline.entries
  }
  /** How far all enabled components are, 0 to 1; 1 when each has been ready once. */
  get progress(): number {
    const live = this.#live()
    if (live.length === 0) return 1
    return live.reduce((sum, { runner }) => sum + runner.attempts.progress, 0) / live.length
  }

  /** APIs by name; undefined for a disabled component. */
  get apis(): ReadonlyMap<string, ComponentBase | undefined> {
    return new Map([...this.#entries].map(([name, entry]) => [name, entry.component?.api]))
  }

  /** APIs by name, of those that are not disabled. */
  get enabledApis(): Readonly<Record<string, object>> {
    return Object.fromEntries(this.#live().map(({ name, component }) => [name, component.api]))
  }

  disabledReason(name: string): string {
    return this.#entries.get(name)?.disabledReason ?? 'unknown'
  }
  /** Up by the verdict with memory; a disabled component is never down. */
  isUp(name: string): boolean {
    const entry = this.#entries.get(name)
    return entry?.runner === undefined || entry.runner.up
  }
  everConnected(name: string): boolean {
    const entry = this.#entries.get(name)
    return entry?.runner === undefined || entry.runner.everConnected
  }

  /** Milliseconds until the next attempt to connect it, or what it waits for, begins. */
  retryInMs(name: string): number {
    const entry = this.#entries.get(name)
    if (entry?.runner === undefined) return 0
    const { runner, definition } = entry
    const needs = runner.everConnected ? [] : definition.dependsOn
    return Math.max(runner.attempts.retryInMs, ...needs.map((need) => this.retryInMs(need)))
  }

  /** Resolves when every enabled component has been ready once; rejects when the app stops before. */
  ready(): Promise<void> {
    return allReady(this.#entries.values())
  }

  /** Lets the components that have routes add them. */
  addRoutes(http: FastifyInstance): void {
    for (const { component } of this.#live()) component.routes?.(http)
  }

  /** Begins to connect everything; returns at once. */
  start(): void {
    for (const { runner } of this.#live()) runner.start()
  }

  /** Ends connecting and checking everywhere, closing nothing. */
  halt(): void {
    for (const { runner } of this.#live()) runner.halt()
  }

  /** Ends the intake of every component that has one. */
  intakes(): readonly Closer[] {
    return this.#live().flatMap(({ name, component, runner }) =>
      component.stopIntake === undefined || !runner.everConnected
        ? []
        : [{ name, close: (signal: AbortSignal) => component.stopIntake!(signal) }],
    )
  }

  /** Ends what components run of their own accord. */
  drains(): readonly (Closer & { readonly limitMs: number | undefined })[] {
    return this.#live().flatMap(({ name, component, runner }) =>
      component.drain === undefined || !runner.everConnected
        ? []
        : [
            {
              name,
              limitMs: component.drainMs,
              close: (signal: AbortSignal) => component.drain!(signal),
            },
          ],
    )
  }

  /** What is to be closed, in order: dependants before what they depend on. */
  closers(): readonly Closer[] {
    return this.#live()
      .toReversed()
      .map(({ name, runner, release }) => ({
        name,
        close: async (signal) => {
          // Both always run; the pool first, for its tasks use the connection.
          const pool = await Promise.allSettled([release()])
          await runner.close(signal)
          for (const result of pool) if (result.status === 'rejected') throw toError(result.reason)
        },
      }))
  }

  status(): Readonly<Record<string, InitStatus>> {
    return Object.fromEntries(
      [...this.#entries].map(([name, entry]) => [name, statusOf(entry, this.#options)]),
    )
  }

  statusOf(name: string): InitStatus | undefined {
    const entry = this.#entries.get(name)
    return entry === undefined ? undefined : statusOf(entry, this.#options)
  }

  #live(): readonly LiveEntry[] {
    return [...this.#entries.values()].filter((entry): entry is LiveEntry => entry.runner !== undefined)
  }

  #changed(name: string, phase: Phase): void {
    this.#timeline.add(name, phase, this.#entries.get(name)?.runner?.attempts.connectMs)
    this.#options.onChange()
    if (phase.state !== 'failed' || !hasCode(phase.error, 'SLUICE_STORE_LOCKED')) return
    if (!this.everConnected(name)) this.#options.onRefused(phase.error)
  }
}
