/**
 * The contract between the redis component and what stands behind it: a Redis server, or the memory of this process.
 *
 * Both speak in commands and replies of the Redis protocol (version 2): a reply is a string, a number, null or a list,
 * so that everything above this line is written once. A backend promises:
 * - a command is atomic, and commands sent in one turn of the event loop take effect in the order they were sent;
 * - every failure is a SluiceError, and its message holds no value and no credential;
 * - a command that was cut off when the connection was lost fails with SLUICE_UNAVAILABLE (retryable) when its
 *   `spec` is idempotent or it was certainly not sent, else with SLUICE_OUTCOME_UNKNOWN;
 * - `close` settles everything that waits.
 */
import type { SluiceError } from '../../core/errors.ts'
import type { Inspection } from '../../app/component.ts'
import type { OperationSpec } from '../../telemetry/operate.ts'
import type { Script } from './scripts/script.ts'
import type { Argument, Reply } from './wire.ts'

export type { Argument, Reply }

/** A command as data, so that one definition serves a single call, a pipeline and a transaction. */
export interface Command<T> {
  readonly spec: OperationSpec
  readonly args: readonly Argument[]
  /** The value of a reply. */
  readonly parse: (reply: Reply) => T
  /** Replies as Buffers. @default false */
  readonly binary?: boolean
}

/** A call of a script: its name, and whether it may be repeated, are in `spec`. */
export interface ScriptCall<T> extends Pick<Command<T>, 'spec' | 'parse'> {
  readonly script: Script
  readonly keys: readonly string[]
  readonly args: readonly Argument[]
}

/** Receives a message; must not throw. */
export type MessageListener = (message: string, channel: string) => void

/** One channel or pattern that this process listens to. */
export interface ChannelListener {
  readonly channel: string
  /** Is `channel` a glob-style pattern? */
  readonly pattern: boolean
  readonly onMessage: MessageListener
  /** Subscribed: for the first time (`gap` false), or again after messages may have been missed. */
  readonly onLive: (gap: boolean) => void
}

export interface Backend {
  /** What stands behind: for `inspect()` and for those who must know. */
  readonly kind: 'server' | 'memory'
  /** Resolves when commands work; leaves nothing open when it rejects. May be called again after a loss. */
  open(signal: AbortSignal): Promise<void>
  /** Rejects when a round trip on the real path fails. */
  check(signal: AbortSignal): Promise<void>
  close(signal: AbortSignal): Promise<void>
  /** May also throw or return at once: it is on every operation's way, and a promise for nothing costs a tenth of it. */
  send<T>(command: Command<T>): Promise<T> | T
  /** Many commands in one round trip, each with a result of its own. `atomic` runs them as one unit (MULTI … EXEC). */
  sendMany<T>(commands: readonly Command<T>[], atomic: boolean): Promise<readonly (T | SluiceError)[]>
  runScript<T>(call: ScriptCall<T>): Promise<T>
  /** Listens from now on, and again after each reconnect, until the returned function is called and its promise done. */
  listen(listener: ChannelListener): () => Promise<void> | void
  inspect(): Inspection
}
