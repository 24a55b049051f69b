/**
 * All components of an app: made once, connected in the background in waves, observed, closed in reverse.
 *
 * A component connects as soon as those that it depends on are ready; all others connect at the same time.
 */
import type { Component, ComponentBase, ComponentDefinition, Inspection } from './component.ts'
import { createContext } from './context.ts'
import { connectOrder } from './graph.ts'
import { phaseError, type Phase } from './phase.ts'
import { isOptional } from './requirements.ts'
import { ComponentRunner, type CheckSettings } from './runner.ts'
import type { ComponentConfig } from '../config/load.ts'
import { waitOrAbort } from '../core/abort.ts'
import type { Clock } from '../core/clock.ts'
import { isSluiceError, SluiceError, toError } from '../core/errors.ts'
import type { Logger } from '../telemetry/log.ts'
import { LogLimit } from '../telemetry/log-limit.ts'
import type { Metrics } from '../telemetry/metric.ts'

/** One step of the start-up, in the order in which things happened. */
export interface TimelineEntry {
  /** Milliseconds since the app began to start. */
  readonly at: number
  readonly component: string
  readonly state: Phase['state']
}

/** A component as `app.init.status()` and `/health` show it. It holds no secret and no host. */
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

export interface InitOptions {
  readonly appName: string
  readonly definitions: Readonly<Record<string, ComponentDefinition<ComponentBase>>>
  readonly settings: Readonly<Record<string, ComponentConfig>>
  readonly checks: CheckSettings
  readonly clock: Clock
  readonly random: () => number
  readonly log: Logger
  readonly metrics: Metrics
  /** Takes hosts and secrets out of a text. */
  readonly redact: (text: string) => string
  /** Called after every change of a component's state. */
  readonly onChange: () => void
}

interface Entry {
  readonly name: string
  readonly definition: ComponentDefinition<ComponentBase>
  readonly component: Component<ComponentBase> | undefined
  readonly runner: ComponentRunner | undefined
  readonly disabledReason: string | undefined
  readonly release: () => Promise<void>
}

type LiveEntry = Entry & { readonly component: Component<ComponentBase>; readonly runner: ComponentRunner }

/** Something with a name that ends. */
export interface Closer {
  readonly name: string
  readonly close: (signal: AbortSignal) => Promise<void>
}

/** Entries of the timeline that are kept; a flapping component pushes the oldest out. */
const MAX_TIMELINE = 200
const LOG_EVERY_MS = 60_000

export class Init {
  readonly #options: InitOptions
  readonly #entries = new Map<string, Entry>()
  readonly #timeline: TimelineEntry[] = []
  readonly #beganAt: number
  readonly #limits = new Map<string, LogLimit>()

  constructor(options: InitOptions) {
    this.#options = options
    this.#beganAt = options.clock.monotonic()
    const names = new Map(Object.entries(options.definitions).map(([name, d]) => [name, d.dependsOn]))
    for (const name of connectOrder(names)) this.#entries.set(name, this.#create(name))
  }

  /** Names in the order in which they connect. */
  get names(): readonly string[] {
    return [...this.#entries.keys()]
  }
  /** Names of those that are not disabled. */
  get enabled(): readonly string[] {
    return this.#live().map((entry) => entry.name)
  }
  get timeline(): readonly TimelineEntry[] {
    return this.#timeline
  }
  /** How far all enabled components are, 0 to 1; 1 when each has been ready once. */
  get progress(): number {
    const runners = this.#runners()
    if (runners.length === 0) return 1
    return runners.reduce((sum, runner) => sum + runner.progress, 0) / runners.length
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
  phase(name: string): Phase | undefined {
    const entry = this.#entries.get(name)
    return entry === undefined ? undefined : phaseOf(entry)
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

  /** Resolves when every enabled component has been ready once; rejects when the app stops before. */
  async ready(): Promise<void> {
    await Promise.all(this.#runners().map((runner) => runner.firstReady))
  }

  /** Begins to connect everything; returns at once. */
  start(): void {
    for (const runner of this.#runners()) runner.start()
  }

  /** Ends connecting and checking everywhere, closing nothing. */
  halt(): void {
    for (const runner of this.#runners()) runner.halt()
  }

  /** Ends the intake of every component that has one. */
  intakes(): readonly Closer[] {
    return this.#live().flatMap(({ name, component, runner }) =>
      component.stopIntake === undefined || !runner.everConnected
        ? []
        : [{ name, close: (signal: AbortSignal) => component.stopIntake!(signal) }],
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
    return Object.fromEntries([...this.#entries.values()].map((entry) => [entry.name, this.#statusOf(entry)]))
  }

  statusOf(name: string): InitStatus | undefined {
    const entry = this.#entries.get(name)
    return entry === undefined ? undefined : this.#statusOf(entry)
  }

  #runners(): readonly ComponentRunner[] {
    return this.#live().map((entry) => entry.runner)
  }

  #live(): readonly LiveEntry[] {
    return [...this.#entries.values()].filter((entry): entry is LiveEntry => entry.runner !== undefined)
  }

  #create(name: string): Entry {
    const { definitions, settings, clock, random, checks } = this.#options
    const definition = definitions[name]!
    const disabledReason = this.#whyDisabled(name, definition)
    if (disabledReason !== undefined) {
      return { name, definition, disabledReason, component: undefined, runner: undefined, release: nothing }
    }
    const own = settings[name]!
    const { context, release } = createContext({
      ...this.#options,
      name,
      definition,
      settings: own,
      runner: () => runner,
      inspect: () => component.inspect(),
      required: (kind) => this.#required(definition, kind),
    })
    const component = definition.create(context)
    const runner: ComponentRunner = new ComponentRunner({
      name,
      component,
      dependsOn: definition.dependsOn,
      dependenciesReady: (signal) => this.#dependenciesReady(definition.dependsOn, signal),
      connectTimeoutMs: own.connectTimeoutMs,
      checks,
      clock,
      random,
      onPhase: (phase) => this.#changed(name, phase),
    })
    return { name, definition, component, runner, disabledReason: undefined, release }
  }

  #required({ dependsOn }: ComponentDefinition<ComponentBase>, kind: string): ComponentBase | undefined {
    const found = dependsOn.find((name) => this.#options.definitions[name]?.kind === kind)
    return found === undefined ? undefined : this.#entries.get(found)?.component?.api
  }

  #whyDisabled(name: string, definition: ComponentDefinition<ComponentBase>): string | undefined {
    const own = this.#options.settings[name]
    if (own?.enabled === false) return `${name}.enabled is false`
    if (definition.needsConfiguration === true && own?.configured !== true) return 'not configured'
    const missing = definition.dependsOn.find((need) => {
      const entry = this.#entries.get(need)
      return entry?.runner === undefined && !(entry && isOptional(definition, entry.definition))
    })
    return missing === undefined ? undefined : `depends on "${missing}", which is disabled`
  }

  async #dependenciesReady(names: readonly string[], signal: AbortSignal): Promise<void> {
    const all = Promise.all(names.flatMap((name) => this.#entries.get(name)?.runner?.firstReady ?? []))
    await waitOrAbort(all, signal)
  }

  #changed(name: string, phase: Phase): void {
    const last = this.#timeline.findLast((entry) => entry.component === name)
    if (last?.state !== phase.state) {
      const at = Math.round(this.#options.clock.monotonic() - this.#beganAt)
      this.#timeline.push({ at, component: name, state: phase.state })
      if (this.#timeline.length > MAX_TIMELINE) this.#timeline.shift()
    }
    this.#log(name, phase)
    this.#options.onChange()
  }

  /** At most one line a minute and component while it is away, however often it is tried. */
  #log(name: string, phase: Phase): void {
    const { log } = this.#options
    const error = phaseError(phase)
    if (phase.state === 'failed' || phase.state === 'degraded') {
      const suppressed = this.#limit(name)
      if (suppressed === undefined) return
      const retry =
        phase.state === 'failed' ? { attempt: phase.attempt, retryMs: Math.round(phase.retryMs) } : {}
      log.warn(
        { component: name, state: phase.state, ...retry, suppressed, err: error },
        `${name} is ${phase.state}`,
      )
    } else if (phase.state === 'ready') {
      const ms = this.#entries.get(name)?.runner?.connectMs
      const line = { component: name, ...(ms !== undefined && { durationMs: Math.round(ms) }) }
      // A component that flaps says so once a minute, like its failures.
      if (this.#limit(`${name} ready`) !== undefined) log.info(line, `${name} is ready`)
    }
  }

  /** How many lines of this kind were left out, when one may be written now. */
  #limit(key: string): number | undefined {
    let limit = this.#limits.get(key)
    if (limit === undefined) this.#limits.set(key, (limit = new LogLimit(this.#options.clock, LOG_EVERY_MS)))
    return limit.take()
  }

  #statusOf(entry: Entry): InitStatus {
    const { runner, component, definition, name } = entry
    const phase = phaseOf(entry)
    const error = phaseError(phase)
    const startedAt = runner?.startedAt
    return {
      name,
      kind: definition.kind,
      state: phase.state,
      initialized: runner?.everConnected ?? false,
      error: error === undefined ? null : this.#options.redact(errorLine(error)),
      start_time: startedAt === undefined ? null : new Date(startedAt).toISOString(),
      duration: this.#durationOf(runner),
      progress: runner?.progress ?? 0,
      note: noteOf(phase, runner),
      attempts: runner?.attempts ?? 0,
      depends_on: definition.dependsOn,
      details: component?.inspect() ?? {},
    }
  }

  #durationOf(runner: ComponentRunner | undefined): number | null {
    if (runner?.startedAt === undefined) return null
    return Math.round(runner.connectMs ?? Math.max(0, this.#options.clock.now() - runner.startedAt))
  }
}

const nothing = (): Promise<void> => Promise.resolve()

function phaseOf(entry: Entry): Phase {
  return entry.runner?.phase ?? { state: 'disabled', reason: entry.disabledReason ?? 'unknown' }
}

function noteOf(phase: Phase, runner: ComponentRunner | undefined): string | null {
  if (phase.state === 'disabled') return phase.reason
  if (phase.state === 'waiting')
    return phase.needs.length === 0 ? null : `waits for ${phase.needs.join(', ')}`
  if (phase.state === 'connecting') return runner?.note ?? null
  return null
}

/** `CODE: message (what to do)`, the code of the driver where the error is not one of ours. */
function errorLine(error: Error): string {
  if (isSluiceError(error)) {
    return `${error.code}: ${error.message}${error.hint === undefined ? '' : ` (${error.hint})`}`
  }
  return 'code' in error && typeof error.code === 'string' ? `${error.code}: ${error.message}` : error.message
}

/** Refused before any I/O: names that are no components, and circles. */
export function checkGraph(definitions: Readonly<Record<string, ComponentDefinition<ComponentBase>>>): void {
  for (const name of Object.keys(definitions)) {
    if (!/^[a-zA-Z][a-zA-Z0-9_]*$/.test(name)) {
      throw new SluiceError(
        'SLUICE_CONFIG',
        `component "${name}": a name is letters, digits and _, a letter first`,
      )
    }
  }
  connectOrder(new Map(Object.entries(definitions).map(([name, d]) => [name, d.dependsOn])))
}
