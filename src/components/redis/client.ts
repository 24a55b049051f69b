/** Builds what services are handed: every command as a method, and what is made of commands. */
import type { ComponentBase } from '../../app/component.ts'
import type { AsyncResult } from '../../core/async-result.ts'
import type { CallOptions } from '../../telemetry/operate.ts'
import type { RawOptions, Redis, Sent } from './api.ts'
import { batches } from './batches.ts'
import type { Argument, Backend, Command, Reply } from './backend.ts'
import type { ReadThrough } from './cached.ts'
import { defineOperation, invalid, toArgument, type RedisValue } from './commands/command.ts'
import type { Commands } from './commands/index.ts'
import type { SetOptions } from './commands/strings.ts'
import { attempt, type Invoker } from './invoke.ts'
import { acquireLock, withLock } from './lock.ts'
import { refuseOnShared } from './own-connection-commands.ts'
import { createRateLimiter } from './rate-limiter.ts'
import { scan } from './scan.ts'
import { createSessions } from './sessions.ts'
import { ChannelSubscription } from './subscription.ts'

export interface ClientParts {
  readonly base: ComponentBase
  readonly invoker: Invoker
  readonly backend: Backend
  readonly readThrough: ReadThrough
  /** Subscriptions that are open; closed with the component. */
  readonly subscriptions: Set<ChannelSubscription>
  /** Called for each message that a subscription dropped. */
  readonly onDropped: () => void
}

const GET_JSON = defineOperation('getJson', true)
const COMMAND = defineOperation('command', false)
const COMMAND_REPEATABLE = defineOperation('command', true)

export function createClient(parts: ClientParts, options?: CallOptions): Redis {
  const { invoker, backend, readThrough, subscriptions } = parts
  const { commands, key } = invoker
  const run = <T>(build: () => Command<T>): AsyncResult<T> => attempt(() => invoker.send(build(), options))
  const many = batches(invoker, options)

  return {
    ...parts.base,
    ...sentCommands(commands, run),
    // As every other command, without gathering its arguments: it is the one that is called most.
    get: (name) => run(() => commands.get(name)),
    with: (more) => createClient(parts, { ...options, ...more }),
    ...many,
    // A value that is being loaded for a key would be stored over what is written or deleted here.
    set: (name, value, set) => {
      readThrough.forget(name)
      return run(() => commands.set(name, value, set))
    },
    del: (keys) => {
      readThrough.forget(keys)
      return run(() => commands.del(keys))
    },
    delBatch: (keys) => {
      readThrough.forget(keys)
      return many.delBatch(keys)
    },
    getJson: <T>(name: string) => run(() => ({ ...commands.get(name), spec: GET_JSON, parse: parseJson<T> })),
    setJson: (name, value, set) => {
      readThrough.forget(name)
      return run(() => setJson(commands, name, value, set))
    },
    cached: (name, ttl, load, cachedOptions) => readThrough.cached(name, ttl, load, cachedOptions),
    rateLimiter: (limiterOptions) => createRateLimiter(invoker, limiterOptions),
    lock: (name, lockOptions) => acquireLock(invoker, name, lockOptions),
    withLock: (name, lockOptions, fn) => withLock(invoker, name, lockOptions, fn),
    sessions: (sessionsOptions = {}) => createSessions(invoker, sessionsOptions),
    subscribe: (channel, handler, subscribeOptions = {}) => {
      const { log, name: component } = invoker
      const subscription = new ChannelSubscription(
        {
          component,
          backend,
          log: log.child({ channel }),
          onDropped: parts.onDropped,
          prefix: key(''),
        },
        channel,
        handler,
        subscribeOptions,
        (closed) => subscriptions.delete(closed),
      )
      subscriptions.add(subscription)
      return subscription
    },
    scan: (scanOptions = {}) => scan(invoker, scanOptions, options),
    script: (script, keys, args = [], raw = {}) =>
      attempt(() =>
        invoker.runScript(
          {
            spec: defineOperation(`script.${script.name}`, raw.idempotent ?? false),
            script,
            keys: keys.map(key),
            args: toArguments(args),
            parse: asIs,
          },
          options,
        ),
      ),
    command: (args, raw = {}) => run(() => rawCommand(args, raw)),
  }
}

function setJson(
  commands: Commands,
  name: string,
  value: unknown,
  options: SetOptions | undefined,
): Command<boolean> {
  const json: string | undefined = JSON.stringify(value)
  if (json === undefined) throw invalid(`setJson: expected what JSON can hold, got ${typeof value}`)
  return commands.set(name, json, options)
}

function rawCommand(args: readonly RedisValue[], options: RawOptions): Command<Reply> {
  if (args.length === 0) throw invalid('command: expected its name and arguments')
  const list = toArguments(args)
  refuseOnShared(list)
  return {
    spec: options.idempotent === true ? COMMAND_REPEATABLE : COMMAND,
    args: list,
    parse: asIs,
    binary: options.binary ?? false,
  }
}

function parseJson<T>(reply: Reply): T | null {
  if (reply === null) return null
  try {
    return JSON.parse(reply as string) as T
  } catch {
    // The error of JSON.parse repeats the text.
    throw invalid('getJson: the key holds something that is no JSON')
  }
}

const toArguments = (args: readonly RedisValue[]): readonly Argument[] =>
  args.map((value, at) => toArgument(value, `argument ${at}`))

const asIs = (reply: Reply): Reply => reply

type AnyCommand = (...args: readonly unknown[]) => Command<unknown>

function sentCommands(
  commands: Commands,
  run: <T>(build: () => Command<T>) => AsyncResult<T>,
): Sent<Commands> {
  const methods = Object.entries(commands as unknown as Record<string, AnyCommand>).map(([name, command]) => [
    name,
    (...args: readonly unknown[]) => run(() => command(...args)),
  ])
  return Object.fromEntries(methods) as Sent<Commands>
}
