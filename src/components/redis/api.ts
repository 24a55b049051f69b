/** What services are handed for a redis component. */
import type { ComponentBase } from '../../app/component.ts'
import type { AsyncResult } from '../../core/async-result.ts'
import type { CallOptions } from '../../telemetry/operate.ts'
import type { BatchResult } from '../../core/batch-result.ts'
import type { Duration } from '../../core/duration.ts'
import type { Reply } from './backend.ts'
import type { CachedOptions } from './cached-options.ts'
import type { Loader } from './flight.ts'
import type { Command, RedisValue } from './commands/command.ts'
import type { Commands } from './commands/index.ts'
import type { SetOptions } from './commands/strings.ts'
import type { Lock, LockOptions } from './lock.ts'
import type { RateLimiter, RateLimiterOptions } from './rate-limiter.ts'
import type { ScanOptions } from './scan.ts'
import type { Script } from './scripts/script.ts'
import type { Sessions, SessionsOptions } from './sessions.ts'
import type { MessageHandler, SubscribeOptions, Subscription } from './subscription.ts'

/** Commands that are sent at once: each returns an AsyncResult of its value. */
export type Sent<C> = {
  readonly [K in keyof C]: C[K] extends (...args: infer A) => Command<infer T>
    ? (...args: A) => AsyncResult<T>
    : never
}

/** Options of every call made through the view that `with` returns. */
export type RedisCallOptions = Pick<CallOptions, 'signal' | 'timeout' | 'priority'>

/** The values of a list of commands. */
export type ValuesOf<C extends readonly Command<unknown>[]> = {
  -readonly [K in keyof C]: C[K] extends Command<infer T> ? T : never
}

export interface RawOptions {
  /** May it be sent again when the connection was lost? Say so only of what does no harm twice. @default false */
  readonly idempotent?: boolean
  /** Replies as Buffers. @default false */
  readonly binary?: boolean
}

export interface Redis extends ComponentBase, Sent<Commands> {
  /** The same client with a signal, a deadline or a priority for each call: `cache.with({ timeout: '50ms' }).get(key)`. */
  with(options: RedisCallOptions): Redis

  /** The value of a key that holds JSON, or null. Rejects with SLUICE_INVALID_ARGUMENT when it holds something else. */
  getJson<T>(key: string): AsyncResult<T | null>
  /** Writes a value as JSON. */
  setJson(key: string, value: unknown, options?: SetOptions): AsyncResult<boolean>

  /** Reads many keys in one round trip, null where there is none. */
  getBatch(keys: readonly string[]): BatchResult<string | null>
  /** Writes many keys in one round trip, all with the same time to live. Each may fail by itself. */
  setBatch(entries: Readonly<Record<string, RedisValue>>, options?: SetOptions): BatchResult<boolean>
  /** Deletes many keys in one round trip; true for each that was there. */
  delBatch(keys: readonly string[]): BatchResult<boolean>
  /** Any commands in one round trip, each with a result of its own: `cache.pipeline((p) => [p.get('a'), p.incr('n')])`.
   * What `build` throws, for a wrong argument too, comes out at once. */
  pipeline<const C extends readonly Command<unknown>[]>(
    build: (commands: Commands) => C,
  ): BatchResult<ValuesOf<C>[number]>
  /**
   * Any commands in one round trip and as one unit: nothing of others runs in between. Rejects with the error of the
   * first that failed; the others have run all the same, as Redis does not roll back.
   */
  multi<const C extends readonly Command<unknown>[]>(
    build: (commands: Commands) => C,
  ): AsyncResult<ValuesOf<C>>

  /** Reads through the cache: see the guide. One caller loads, everybody who asks meanwhile waits for it. */
  cached<T>(key: string, ttl: Duration, load: Loader<T>, options?: CachedOptions): AsyncResult<T>
  /** A rate limit shared by every process on the same server. */
  rateLimiter(options: RateLimiterOptions): RateLimiter
  /** Takes a lock. Rejects with SLUICE_CONFLICT, retryable, when another holds it for longer than `wait`. */
  lock(key: string, options?: LockOptions): AsyncResult<Lock>
  /** Runs `fn` while holding a lock. Rejects with SLUICE_LOCK_LOST when it was lost before `fn` was done. */
  withLock<T>(key: string, options: LockOptions, fn: (lock: Lock) => Promise<T> | T): AsyncResult<Awaited<T>>
  /** Sessions of users. `T` is what a session holds, as JSON. */
  sessions<T>(options?: SessionsOptions): Sessions<T>

  /**
   * Calls `handler` for every message of a channel from when it is connected on, also before the component is ready.
   * A message that is published while nobody listens, or while the connection is down, is lost; `onGap` tells.
   */
  subscribe(channel: string, handler: MessageHandler, options?: SubscribeOptions): Subscription
  /** Walks over the keys. */
  scan(options?: ScanOptions): AsyncGenerator<string, void, undefined>
  /** Runs a script made by `defineScript`, by its hash. Keys get the prefix. */
  script(
    script: Script,
    keys: readonly string[],
    args?: readonly RedisValue[],
    options?: RawOptions,
  ): AsyncResult<Reply>
  /**
   * Any command, as it is: keys get no prefix. SLUICE_UNSUPPORTED for what blocks or changes the connection, which all
   * callers share (MULTI, SELECT, SUBSCRIBE, BLPOP, …), and in memory for what is not known there.
   */
  command(args: readonly RedisValue[], options?: RawOptions): AsyncResult<Reply>
}
