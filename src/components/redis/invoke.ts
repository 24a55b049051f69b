/** What the parts above the commands are handed: one way to send a command, many, or a script, through `operations`. */
import { AsyncResult } from '../../core/async-result.ts'
import type { Clock } from '../../core/clock.ts'
import type { SluiceError } from '../../core/errors.ts'
import type { Logger } from '../../telemetry/log.ts'
import type { Metrics } from '../../telemetry/metric.ts'
import type { CallOptions, OperationSpec, Operations } from '../../telemetry/operate.ts'
import type { Backend, Command, ScriptCall } from './backend.ts'
import type { KeyMapper } from './commands/command.ts'
import type { Commands } from './commands/index.ts'

export interface Invoker {
  /** Name of the component, as the app calls it. */
  readonly name: string
  readonly clock: Clock
  readonly random: () => number
  readonly log: Logger
  readonly metrics: Metrics
  readonly key: KeyMapper
  readonly commands: Commands
  send<T>(command: Command<T>, options?: CallOptions): AsyncResult<T>
  /** `finish` makes the value of the whole out of the results. */
  sendMany<T, R>(
    spec: OperationSpec,
    commands: readonly Command<T>[],
    finish: (results: readonly (T | SluiceError)[]) => R,
    options?: CallOptions & { readonly atomic?: boolean },
  ): AsyncResult<R>
  runScript<T>(call: ScriptCall<T>, options?: CallOptions): AsyncResult<T>
}

export function createInvoker(
  parts: Omit<Invoker, 'send' | 'sendMany' | 'runScript'> & {
    readonly operations: Operations
    readonly backend: Backend
  },
): Invoker {
  const { operations, backend, ...rest } = parts
  return {
    ...rest,
    send: (command, options) => operations.run(command.spec, () => backend.send(command), options),
    sendMany: (spec, commands, finish, options) =>
      operations.run(
        spec,
        async () => finish(await backend.sendMany(commands, options?.atomic ?? false)),
        options,
      ),
    runScript: (call, options) => operations.run(call.spec, () => backend.runScript(call), options),
  }
}

/** A wrong argument rejects like every other failure, so that a caller has one place to look. */
export function attempt<T>(start: () => AsyncResult<T>): AsyncResult<T> {
  try {
    return start()
  } catch (error) {
    return AsyncResult.reject<T>(error)
  }
}
