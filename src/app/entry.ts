/** One component of an app: made from its definition, with what runs it; or turned off, with the reason. */
import type { Component, ComponentBase, ComponentDefinition } from './component.ts'
import { createContext } from './context.ts'
import type { Phase } from './phase.ts'
import { isAwaited, isOptional } from './requirements.ts'
import { ComponentRunner } from './runner.ts'
import type { CheckSettings } from './runner-options.ts'
import type { ComponentConfig } from '../config/load.ts'
import { waitOrAbort } from '../core/abort.ts'
import type { Clock } from '../core/clock.ts'
import type { Logger } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metric.ts'

export interface EntryOptions {
  readonly appName: string
  readonly definitions: Readonly<Record<string, ComponentDefinition<ComponentBase>>>
  readonly settings: Readonly<Record<string, ComponentConfig>>
  readonly checks: CheckSettings
  readonly clock: Clock
  readonly random: () => number
  readonly log: Logger
  readonly metrics: Metrics
}

interface DisabledEntry {
  readonly name: string
  readonly definition: ComponentDefinition<ComponentBase>
  readonly disabledReason: string
  readonly component: undefined
  readonly runner: undefined
}

export interface LiveEntry {
  readonly name: string
  readonly definition: ComponentDefinition<ComponentBase>
  readonly disabledReason: undefined
  readonly component: Component<ComponentBase>
  readonly runner: ComponentRunner
  /** Closes the component's own pool. */
  readonly release: () => Promise<void>
}

export type Entry = DisabledEntry | LiveEntry

/** `others` holds the entries of all that it depends on. */
export function createEntry(
  name: string,
  options: EntryOptions,
  others: ReadonlyMap<string, Entry>,
  onPhase: (phase: Phase) => void,
): Entry {
  const { definitions, settings, clock, random, checks } = options
  const definition = definitions[name]!
  const { dependsOn } = definition
  const disabledReason = whyDisabled(name, definition, settings[name], others)
  if (disabledReason !== undefined) {
    return { name, definition, disabledReason, component: undefined, runner: undefined }
  }
  const own = settings[name]!
  const { context, release } = createContext({
    ...options,
    name,
    definition,
    settings: own,
    runner: () => runner,
    inspect: () => component.inspect(),
    required: (kind) => {
      const found = dependsOn.find((need) => definitions[need]?.kind === kind)
      return found === undefined ? undefined : others.get(found)?.component?.api
    },
  })
  const component = definition.create(context)
  const awaited = dependsOn.filter((need) => isAwaited(definition, definitions[need]!))
  const runner: ComponentRunner = new ComponentRunner({
    name,
    component,
    dependsOn: awaited,
    dependenciesReady: (signal) =>
      waitOrAbort(allReady(awaited.flatMap((need) => others.get(need) ?? [])), signal),
    connectTimeoutMs: own.connectTimeoutMs,
    checks,
    clock,
    random,
    onPhase,
  })
  return { name, definition, component, runner, disabledReason: undefined, release }
}

/** What it is doing; a disabled one does nothing, for ever. */
export function phaseOf(entry: Entry): Phase {
  return entry.runner?.phase ?? { state: 'disabled', reason: entry.disabledReason ?? 'unknown' }
}

/** Resolves when every enabled one has been ready once; rejects when the app stops before. */
export async function allReady(entries: Iterable<Entry>): Promise<void> {
  await Promise.all([...entries].flatMap(({ runner }) => (runner === undefined ? [] : [runner.firstReady])))
}

function whyDisabled(
  name: string,
  definition: ComponentDefinition<ComponentBase>,
  own: ComponentConfig | undefined,
  others: ReadonlyMap<string, Entry>,
): string | undefined {
  if (own?.enabled === false) return `${name}.enabled is false`
  if (definition.needsConfiguration === true && own?.configured !== true) return 'not configured'
  const missing = definition.dependsOn.find((need) => {
    const entry = others.get(need)
    return entry?.runner === undefined && !(entry && isOptional(definition, entry.definition))
  })
  return missing === undefined ? undefined : `depends on "${missing}", which is disabled`
}
