/**
 * How `sluice config` and `sluice doctor` get at an app that a program defines: before they import the program they
 * put an inspector on `globalThis` under a registered symbol, so that it is found also when the program has another
 * copy of the package. `createApp` announces each app to it, and `start` asks it whether to go on.
 *
 * Without the command line there is no inspector, and both cost one property read.
 */
import type { ComponentBase, ComponentDefinition } from './component.ts'
import type { LoadOptions } from '../config/load.ts'

const KEY = Symbol.for('sluice.inspector')

/** What the command line may know of an app and do with it. */
export interface InspectedApp {
  readonly name: string
  readonly components: Readonly<Record<string, ComponentDefinition<ComponentBase>>>
  /** What the app's configuration is loaded with: read late, since services are registered after createApp. */
  load(): LoadOptions
  /**
   * Starts the app, serves until a signal or a fatal error, and resolves to the exit code; of an app that the program
   * runs or has stopped by itself, it only waits for that end.
   */
  run(): Promise<unknown>
}

export interface Inspector {
  /** `createApp` was called. */
  created(app: InspectedApp): void
  /** `start` was called. With 'hold' it never settles and does nothing; with 'go' it goes on. */
  starting(app: InspectedApp): 'hold' | 'go'
}

/** The inspector of this process, if there is one. */
export function currentInspector(): Inspector | undefined {
  return (globalThis as { readonly [KEY]?: Inspector })[KEY]
}

/** Puts an inspector in place; dispose of the result to take it off. */
export function installInspector(inspector: Inspector): Disposable {
  Object.defineProperty(globalThis, KEY, { value: inspector, configurable: true })
  return { [Symbol.dispose]: () => void Reflect.deleteProperty(globalThis, KEY) }
}
