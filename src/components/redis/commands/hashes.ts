/** Commands on hashes: records whose fields are read and written one by one. */
import {
  asBoolean,
  asNothing,
  asNumber,
  asRecord,
  asText,
  asTexts,
  defineOperation,
  invalid,
  toArgument,
  toInteger,
  type Command,
  type KeyMapper,
  type RedisValue,
} from './command.ts'

export interface HashCommands {
  /** The text of a field, or null. */
  hget(key: string, field: string): Command<string | null>
  /** The texts of several fields, null where there is none. */
  hmget(key: string, fields: readonly string[]): Command<readonly (string | null)[]>
  /** Every field; null when there is no such key. The record has no prototype. */
  hgetall(key: string): Command<Readonly<Record<string, string>> | null>
  /** Writes fields; others stay. */
  hset(key: string, fields: Readonly<Record<string, RedisValue>>): Command<void>
  /** Writes a field only when there is none; says whether it did. */
  hsetnx(key: string, field: string, value: RedisValue): Command<boolean>
  /** Deletes fields; says how many there were. */
  hdel(key: string, fields: string | readonly string[]): Command<number>
  hexists(key: string, field: string): Command<boolean>
  /** How many fields there are. */
  hlen(key: string): Command<number>
  hkeys(key: string): Command<readonly string[]>
  /** Adds to a field that counts. Not repeated after a lost connection. */
  hincrby(key: string, field: string, by?: number): Command<number>
}

const HGET = defineOperation('hget', true)
const HMGET = defineOperation('hmget', true)
const HGETALL = defineOperation('hgetall', true)
const HSET = defineOperation('hset', true)
const HSETNX = defineOperation('hsetnx', false)
const HDEL = defineOperation('hdel', true)
const HEXISTS = defineOperation('hexists', true)
const HLEN = defineOperation('hlen', true)
const HKEYS = defineOperation('hkeys', true)
const HINCRBY = defineOperation('hincrby', false)

export function hashCommands(key: KeyMapper): HashCommands {
  return {
    hget: (name, field) => ({ spec: HGET, args: ['HGET', key(name), field], parse: asText }),
    hmget: (name, fields) => ({
      spec: HMGET,
      args: ['HMGET', key(name), ...some(fields, 'hmget fields')],
      parse: (reply) => reply as readonly (string | null)[],
    }),
    hgetall: (name) => ({
      spec: HGETALL,
      args: ['HGETALL', key(name)],
      parse: (reply) => (asTexts(reply).length === 0 ? null : asRecord(reply)),
    }),
    hset: (name, fields) => ({
      spec: HSET,
      args: [
        'HSET',
        key(name),
        ...some(Object.entries(fields), 'hset fields').flatMap(([field, value]) => [
          field,
          toArgument(value, `hset ${field}`),
        ]),
      ],
      parse: asNothing,
    }),
    hsetnx: (name, field, value) => ({
      spec: HSETNX,
      args: ['HSETNX', key(name), field, toArgument(value, 'hsetnx value')],
      parse: asBoolean,
    }),
    hdel: (name, fields) => ({
      spec: HDEL,
      args: ['HDEL', key(name), ...(typeof fields === 'string' ? [fields] : some(fields, 'hdel fields'))],
      parse: asNumber,
    }),
    hexists: (name, field) => ({ spec: HEXISTS, args: ['HEXISTS', key(name), field], parse: asBoolean }),
    hlen: (name) => ({ spec: HLEN, args: ['HLEN', key(name)], parse: asNumber }),
    hkeys: (name) => ({ spec: HKEYS, args: ['HKEYS', key(name)], parse: asTexts }),
    hincrby: (name, field, by = 1) => ({
      spec: HINCRBY,
      args: ['HINCRBY', key(name), field, toInteger(by, 'hincrby by')],
      parse: asNumber,
    }),
  }
}

/** The server refuses an empty list with words that help nobody. */
export function some<T>(items: readonly T[], what: string): readonly T[] {
  if (items.length === 0) throw invalid(`${what}: expected at least one`)
  return items
}
