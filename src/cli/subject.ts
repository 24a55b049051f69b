/** What `config` and `doctor` look at: the app of a program, or, without one, every component that there is. */
import type { ComponentBase, ComponentDefinition } from '../app/component.ts'
import { readConfig, type ConfigReading } from '../config/load.ts'
import { knownComponents } from './known-components.ts'
import { inspectProgram } from './program.ts'
import type { Invocation, Terminal } from './command.ts'

export interface Subject {
  /** Name of the app; undefined without a program. */
  readonly app: string | undefined
  readonly components: Readonly<Record<string, ComponentDefinition<ComponentBase>>>
  readonly config: ConfigReading
}

/** @param adapt what is taken in place of the components that there are */
export async function readSubject(
  invocation: Invocation,
  terminal: Terminal,
  adapt: (components: Subject['components']) => Subject['components'] = (components) => components,
): Promise<Subject> {
  const file = invocation.config === undefined ? {} : { file: invocation.config }
  if (invocation.file === undefined) {
    const components = adapt(await knownComponents())
    const config = await readConfig({ components, env: terminal.env, cwd: terminal.cwd, ...file })
    return { app: undefined, components, config }
  }
  const app = await withoutOutput(() => inspectProgram(invocation.file ?? '', terminal.cwd))
  const components = adapt(app.components)
  const config = await readConfig({ ...app.load(), components, ...file })
  return { app: app.name, components, config }
}

/** While a program is only looked at, what it prints goes to standard error: standard output is the command's. */
async function withoutOutput<T>(fn: () => Promise<T>): Promise<T> {
  const { stdout, stderr } = process
  Object.defineProperty(stdout, 'write', { value: stderr.write.bind(stderr), configurable: true })
  try {
    return await fn()
  } finally {
    // `write` belongs to the prototype: without the property of its own, it is as before.
    Reflect.deleteProperty(stdout, 'write')
  }
}
