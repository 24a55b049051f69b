/** The order of components: who waits for whom. Unknown names and cycles are refused when the app is created. */
import type { ComponentBase, ComponentDefinition } from './component.ts'
import { SluiceError } from '../core/errors.ts'
import { nearest } from '../config/nearest.ts'

type Definitions = Readonly<Record<string, ComponentDefinition<ComponentBase>>>

/** Names in the order in which they connect. Throws as `connectOrder`. */
export function namesInOrder(definitions: Definitions): readonly string[] {
  return connectOrder(new Map(Object.entries(definitions).map(([name, { dependsOn }]) => [name, dependsOn])))
}

/** Refused before any I/O: names that no setting could have, unknown ones, and circles. */
export function checkGraph(definitions: Definitions): void {
  for (const name of Object.keys(definitions)) {
    if (!/^[a-zA-Z][a-zA-Z0-9_]*$/.test(name)) {
      throw new SluiceError(
        'SLUICE_CONFIG',
        `component "${name}": a name is letters, digits and _, a letter first`,
      )
    }
  }
  namesInOrder(definitions)
}

/**
 * Names sorted so that each comes after all that it depends on; independent ones keep the order they were written in.
 * Throws SLUICE_CONFIG for a name that is no component, and for a cycle, naming its members.
 */
export function connectOrder(dependsOn: ReadonlyMap<string, readonly string[]>): readonly string[] {
  const order: string[] = []
  const done = new Set<string>()
  const path: string[] = []

  const visit = (name: string): void => {
    if (done.has(name)) return
    const seenAt = path.indexOf(name)
    if (seenAt !== -1) {
      const cycle = [...path.slice(seenAt), name].join(' -> ')
      throw new SluiceError('SLUICE_CONFIG', `components depend on each other in a circle: ${cycle}`)
    }
    path.push(name)
    for (const need of dependsOn.get(name) ?? []) {
      if (!dependsOn.has(need)) throw unknownDependency(name, need, dependsOn)
      visit(need)
    }
    path.pop()
    done.add(name)
    order.push(name)
  }
  for (const name of dependsOn.keys()) visit(name)
  return order
}

function unknownDependency(name: string, need: string, known: ReadonlyMap<string, unknown>): SluiceError {
  const guess = nearest(need, known.keys())
  const hint = guess === undefined ? '' : `; did you mean "${guess}"?`
  return new SluiceError(
    'SLUICE_CONFIG',
    `component "${name}" depends on "${need}", which is no component of this app (known: ${[...known.keys()].join(', ')})${hint}`,
  )
}
