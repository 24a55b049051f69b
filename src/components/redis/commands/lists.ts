/** Commands on lists. They do not block: to wait for work use jobs, or `subscribe`. */
import {
  asNothing,
  asNumber,
  asText,
  asTexts,
  defineOperation,
  toArgument,
  toInteger,
  type Command,
  type KeyMapper,
  type RedisValue,
} from './command.ts'
import { some } from './hashes.ts'

type Values = RedisValue | readonly RedisValue[]

export interface ListCommands {
  /** Puts values before the first; of several, the last one ends up first. Returns the length. */
  lpush(key: string, values: Values): Command<number>
  /** Puts values after the last. Returns the length. */
  rpush(key: string, values: Values): Command<number>
  /** Takes the first, or null. */
  lpop(key: string): Command<string | null>
  /** Takes the last, or null. */
  rpop(key: string): Command<string | null>
  /** From `start` to `stop`, both included; negative ones count from the end. @default all */
  lrange(key: string, start?: number, stop?: number): Command<readonly string[]>
  /** Keeps what `lrange` would return. */
  ltrim(key: string, start: number, stop: number): Command<void>
  llen(key: string): Command<number>
}

const PUSH = defineOperation('push', false)
const POP = defineOperation('pop', false)
const LRANGE = defineOperation('lrange', true)
const LTRIM = defineOperation('ltrim', false)
const LLEN = defineOperation('llen', true)

export function listCommands(key: KeyMapper): ListCommands {
  const push = (name: string, list: string, values: Values): Command<number> => ({
    spec: PUSH,
    args: [name, key(list), ...toList(values).map((value) => toArgument(value, 'push value'))],
    parse: asNumber,
  })
  return {
    lpush: (name, values) => push('LPUSH', name, values),
    rpush: (name, values) => push('RPUSH', name, values),
    lpop: (name) => ({ spec: POP, args: ['LPOP', key(name)], parse: asText }),
    rpop: (name) => ({ spec: POP, args: ['RPOP', key(name)], parse: asText }),
    lrange: (name, start = 0, stop = -1) => ({
      spec: LRANGE,
      args: ['LRANGE', key(name), toInteger(start, 'lrange start'), toInteger(stop, 'lrange stop')],
      parse: asTexts,
    }),
    ltrim: (name, start, stop) => ({
      spec: LTRIM,
      args: ['LTRIM', key(name), toInteger(start, 'ltrim start'), toInteger(stop, 'ltrim stop')],
      parse: asNothing,
    }),
    llen: (name) => ({ spec: LLEN, args: ['LLEN', key(name)], parse: asNumber }),
  }
}

function toList(values: Values): readonly RedisValue[] {
  return Array.isArray(values) ? some(values as readonly RedisValue[], 'push values') : [values as RedisValue]
}
