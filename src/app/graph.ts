/** The order of components: who waits for whom. Unknown names and cycles are refused when the app is created. */
import { SluiceError } from '../core/errors.ts'
import { nearest } from '../config/nearest.ts'

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
