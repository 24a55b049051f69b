/**
 * One call of the driver inside of an operation.
 *
 * `signal` is what ends it: at the deadline the driver closes the connection that waits for a silent server, so that the
 * next call does not get it. (The driver's `timeoutMS` does nothing in 7.9, and its types offer `signal` for reads alone;
 * it is heeded by every command, which the tests hold.) `maxTimeMS` makes the server give up as well.
 */
import type { ClientSession, Db } from 'mongodb'
import type { AsyncResult } from '../../core/async-result.ts'
import { isSluiceError } from '../../core/errors.ts'
import type { Call, CallOptions } from '../../telemetry/operate.ts'
import { mongoError } from './client/errors.ts'
import type { Scope, SpecPair } from './host.ts'

/** Of what a command takes, what each of ours has. */
export interface CommandOptions {
  readonly signal: AbortSignal
  readonly maxTimeMS?: number
  readonly session?: ClientSession
}

/** The largest number that the server takes. */
const MAX_TIME_MS = 2_147_483_647

export interface Sent<T> {
  readonly spec: SpecPair
  /** Name of the collection, or what else is touched. */
  readonly target: string
  readonly repeatable: boolean
  readonly options: CallOptions | undefined
  readonly body: (db: Db, command: CommandOptions, call: Call) => Promise<T>
}

export function send<T>(scope: Scope, { spec, target, repeatable, options, body }: Sent<T>): AsyncResult<T> {
  const { host, operations, session } = scope
  const what = `${spec.once.name} of ${target}`
  const mayRepeat = repeatable && session === undefined
  return operations.run(
    mayRepeat ? spec.repeatable : spec.once,
    (call) =>
      scope.inTurn(async () => {
        const { signal } = call
        try {
          const handle = await host.handle(signal)
          return await body(handle.db(host.database), commandOptions(call, session), call)
        } catch (error) {
          if (signal.aborted || isSluiceError(error)) throw error
          throw mongoError(error, { component: host.component, what, repeatable: mayRepeat })
        }
      }),
    callOptions(options),
  )
}

function commandOptions(call: Call, session: ClientSession | undefined): CommandOptions {
  const { signal, remainingMs } = call
  // In a transaction the server would take it for a limit of the whole.
  if (session !== undefined) return { signal, session }
  if (remainingMs > MAX_TIME_MS) return { signal }
  return { signal, maxTimeMS: Math.max(1, Math.ceil(remainingMs)) }
}

export function callOptions(options: CallOptions | undefined): CallOptions | undefined {
  if (options === undefined) return undefined
  const { signal, timeout, priority, label } = options
  return { signal, timeout, priority, label }
}

/** Without what is ours: what goes to the driver. */
export function driverOptions<O extends CallOptions>(
  options: O | undefined,
): Omit<O, 'idempotent' | 'label' | 'priority' | 'signal' | 'timeout'> | undefined {
  if (options === undefined) return undefined
  const { signal: _signal, timeout: _timeout, priority: _priority, label: _label, ...rest } = options
  const { idempotent: _idempotent, ...driver } = rest as typeof rest & { readonly idempotent?: boolean }
  return driver as Omit<O, 'idempotent' | 'label' | 'priority' | 'signal' | 'timeout'>
}
