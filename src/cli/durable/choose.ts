/** Which of an app's databases a command is about: the one that its jobs, events or schedules live in. */
import type { ComponentBase, ComponentDefinition } from '../../app/component.ts'
import { Misunderstood } from '../misunderstood.ts'

type Definitions = Readonly<Record<string, ComponentDefinition<ComponentBase>>>

/** Name of the component. Throws Misunderstood where there is none, or several could be meant. */
export function chooseDatabase(
  components: Definitions,
  kind: string | undefined,
  named: string | undefined,
): string {
  const databases = Object.keys(components).filter((name) => components[name]?.kind === 'postgres')
  const known = databases.join(', ')
  if (named !== undefined) {
    if (databases.includes(named)) return named
    throw new Misunderstood(`--database: the app has no database "${named}"; it has ${known || 'none'}`)
  }
  const users = Object.values(components).filter((each) => each.kind === kind)
  const used = new Set(users.flatMap((each) => each.dependsOn.filter((name) => databases.includes(name))))
  const candidates = used.size > 0 ? [...used] : databases
  const [only] = candidates
  if (only === undefined)
    throw new Misunderstood('the app has no database: postgres() is not among its components')
  if (candidates.length === 1) return only
  throw new Misunderstood(
    `the app has several databases: say which by --database, one of ${candidates.join(', ')}`,
  )
}
