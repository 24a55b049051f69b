/** Commands on sets and sorted sets. */
import type { Reply } from '../backend.ts'
import {
  asBoolean,
  asNumber,
  asNumberOrNull,
  asTexts,
  defineOperation,
  parseDouble,
  toInteger,
  toNumber,
  type Command,
  type KeyMapper,
} from './command.ts'
import { some } from './hashes.ts'

export interface Scored {
  readonly member: string
  readonly score: number
}

export interface ZRangeOptions {
  /** First rank, negative from the end. @default 0 */
  readonly start?: number
  /** Last rank, included. @default -1, the last */
  readonly stop?: number
  /** From the greatest score down. @default false */
  readonly reverse?: boolean
}

export interface ZRangeByScoreOptions {
  /** @default -Infinity */
  readonly min?: number
  /** @default Infinity */
  readonly max?: number
  /** @default 0 */
  readonly offset?: number
  /** @default all */
  readonly limit?: number
  /** From the greatest score down. @default false */
  readonly reverse?: boolean
}

export interface SetCommands {
  /** Adds members; says how many were new. */
  sadd(key: string, members: string | readonly string[]): Command<number>
  /** Removes members; says how many there were. */
  srem(key: string, members: string | readonly string[]): Command<number>
  smembers(key: string): Command<readonly string[]>
  sismember(key: string, member: string): Command<boolean>
  scard(key: string): Command<number>
  /** Adds members with their scores, or changes the scores; says how many were new. */
  zadd(key: string, members: Readonly<Record<string, number>>): Command<number>
  zincrby(key: string, member: string, by: number): Command<number>
  zrem(key: string, members: string | readonly string[]): Command<number>
  zscore(key: string, member: string): Command<number | null>
  zcard(key: string): Command<number>
  /** Members by rank, with their scores. */
  zrange(key: string, options?: ZRangeOptions): Command<readonly Scored[]>
  /** Members whose score lies between `min` and `max`, both included. */
  zrangeByScore(key: string, options?: ZRangeByScoreOptions): Command<readonly Scored[]>
  /** Removes members whose score lies between `min` and `max`, both included; says how many. */
  zremByScore(key: string, min: number, max: number): Command<number>
}

const SADD = defineOperation('sadd', false)
const SREM = defineOperation('srem', true)
const SMEMBERS = defineOperation('smembers', true)
const SISMEMBER = defineOperation('sismember', true)
const SCARD = defineOperation('scard', true)
const ZADD = defineOperation('zadd', false)
const ZINCRBY = defineOperation('zincrby', false)
const ZREM = defineOperation('zrem', true)
const ZSCORE = defineOperation('zscore', true)
const ZCARD = defineOperation('zcard', true)
const ZRANGE = defineOperation('zrange', true)

export function setCommands(key: KeyMapper): SetCommands {
  return {
    sadd: (name, members) => ({ spec: SADD, args: ['SADD', key(name), ...toList(members)], parse: asNumber }),
    srem: (name, members) => ({ spec: SREM, args: ['SREM', key(name), ...toList(members)], parse: asNumber }),
    smembers: (name) => ({ spec: SMEMBERS, args: ['SMEMBERS', key(name)], parse: asTexts }),
    sismember: (name, member) => ({
      spec: SISMEMBER,
      args: ['SISMEMBER', key(name), member],
      parse: asBoolean,
    }),
    scard: (name) => ({ spec: SCARD, args: ['SCARD', key(name)], parse: asNumber }),
    zadd: (name, members) => ({
      spec: ZADD,
      args: [
        'ZADD',
        key(name),
        ...some(Object.entries(members), 'zadd members').flatMap(([member, score]) => [
          toNumber(score, `zadd ${member}`),
          member,
        ]),
      ],
      parse: asNumber,
    }),
    zincrby: (name, member, by) => ({
      spec: ZINCRBY,
      args: ['ZINCRBY', key(name), toNumber(by, 'zincrby by'), member],
      parse: parseDouble,
    }),
    zrem: (name, members) => ({ spec: ZREM, args: ['ZREM', key(name), ...toList(members)], parse: asNumber }),
    zscore: (name, member) => ({ spec: ZSCORE, args: ['ZSCORE', key(name), member], parse: asNumberOrNull }),
    zcard: (name) => ({ spec: ZCARD, args: ['ZCARD', key(name)], parse: asNumber }),
    zrange: (name, { start = 0, stop = -1, reverse = false } = {}) => ({
      spec: ZRANGE,
      args: [
        'ZRANGE',
        key(name),
        toInteger(start, 'zrange start'),
        toInteger(stop, 'zrange stop'),
        ...(reverse ? ['REV'] : []),
        'WITHSCORES',
      ],
      parse: asScored,
    }),
    zrangeByScore: (name, options = {}) => {
      const { min = -Infinity, max = Infinity, offset = 0, limit = -1, reverse = false } = options
      const bounds = [toNumber(min, 'zrangeByScore min'), toNumber(max, 'zrangeByScore max')]
      return {
        spec: ZRANGE,
        args: [
          'ZRANGE',
          key(name),
          ...(reverse ? bounds.reverse() : bounds),
          'BYSCORE',
          ...(reverse ? ['REV'] : []),
          'LIMIT',
          toInteger(offset, 'zrangeByScore offset'),
          toInteger(limit, 'zrangeByScore limit'),
          'WITHSCORES',
        ],
        parse: asScored,
      }
    },
    zremByScore: (name, min, max) => ({
      spec: ZREM,
      args: [
        'ZREMRANGEBYSCORE',
        key(name),
        toNumber(min, 'zremByScore min'),
        toNumber(max, 'zremByScore max'),
      ],
      parse: asNumber,
    }),
  }
}

function asScored(reply: Reply): readonly Scored[] {
  const flat = reply as readonly string[]
  const scored: Scored[] = []
  for (let at = 0; at < flat.length; at += 2) {
    scored.push({ member: flat[at] as string, score: parseDouble(flat[at + 1] as string) })
  }
  return scored
}

const toList = (members: string | readonly string[]): readonly string[] =>
  typeof members === 'string' ? [members] : some(members, 'members')
