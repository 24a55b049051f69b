/**
 * Components that work on another one: jobs on a database. Found by kind when the app is created, before any I/O, and
 * from then on a dependency like any other: it is made first, connects first and closes last.
 */
import type { ComponentBase, ComponentDefinition, Requirement } from './component.ts'
import { SluiceError } from '../core/errors.ts'

type Definition = ComponentDefinition<ComponentBase>
type Definitions = Readonly<Record<string, Definition>>

/**
 * The definitions with what they require added to `dependsOn`. Throws SLUICE_CONFIG where it is not there, is of another
 * kind, or could be one of several.
 */
export function resolveRequirements(definitions: Definitions): Definitions {
  return Object.fromEntries(
    Object.entries(definitions).map(([name, definition]) => {
      const found = (definition.requires ?? []).flatMap((each) => find(name, each, definitions) ?? [])
      if (found.length === 0) return [name, definition]
      return [name, { ...definition, dependsOn: [...new Set([...definition.dependsOn, ...found])] }]
    }),
  )
}

/** May the component do without the one called `need`? */
export function isOptional(definition: Definition, need: Definition): boolean {
  return definition.requires?.some(({ kind, optional }) => optional === true && kind === need.kind) ?? false
}

/** Does the component wait for that one before it connects? */
export function isAwaited(definition: Definition, need: Definition): boolean {
  return !(definition.requires?.some(({ kind, beside }) => beside === true && kind === need.kind) ?? false)
}

function find(component: string, requirement: Requirement, definitions: Definitions): string | undefined {
  const { kind, name, optional = false, beside = false } = requirement
  if (name !== undefined) {
    const named = definitions[name]
    // A name that is not there is told by the graph, which knows all of them.
    if (named === undefined || named.kind === kind) return name
    throw new SluiceError(
      'SLUICE_CONFIG',
      `component "${component}" works on a component of kind ${kind}; "${name}" is of kind ${named.kind}`,
    )
  }
  const candidates = Object.keys(definitions).filter((each) => definitions[each]?.kind === kind)
  if (candidates.length <= 1 && (candidates[0] !== undefined || optional)) return candidates[0]
  // Of what is only beside it, several are none: whoever needs one says so when it is made.
  if (optional && beside) return undefined
  const hint =
    candidates.length === 0
      ? `Add one to the components of the app: { db: ${kind}() }.`
      : `Say which one: dependsOn or the option for it names one of ${candidates.join(', ')}.`
  const which = candidates.length === 0 ? 'there is none' : `there are ${candidates.length}`
  throw new SluiceError(
    'SLUICE_CONFIG',
    `component "${component}" works on a component of kind ${kind}, and ${which}`,
    {
      hint,
    },
  )
}
