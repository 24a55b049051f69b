/** Commands on strings and counters, and on keys of any type. */
import type { Duration } from '../../../core/duration.ts'
import type { Reply } from '../backend.ts'
import {
  asBoolean,
  asNumber,
  asText,
  defineOperation,
  invalid,
  toArgument,
  toInteger,
  ttlMs,
  type Command,
  type KeyMapper,
  type RedisValue,
} from './command.ts'

export interface SetOptions {
  /** Time to live. @default none: the key lasts */
  readonly ttl?: Duration | undefined
  /** Keep the time to live that the key has. @default false */
  readonly keepTtl?: boolean | undefined
  /** `absent`: only when there is no such key; `present`: only when there is one. @default always */
  readonly when?: 'absent' | 'present' | undefined
}

export interface ExpireOptions {
  /** Only when the key lasts (`lasting`), expires (`expiring`), or would live longer or shorter. @default always */
  readonly when?: 'lasting' | 'expiring' | 'longer' | 'shorter' | undefined
}

export interface StringCommands {
  /** The text of a key, or null. */
  get(key: string): Command<string | null>
  /** The bytes of a key, or null. */
  getBuffer(key: string): Command<Buffer | null>
  /** The text of a key, which is deleted. Two callers never both get it. */
  take(key: string): Command<string | null>
  /** Writes a key. False when `when` prevented it. */
  set(key: string, value: RedisValue, options?: SetOptions): Command<boolean>
  /** Deletes keys; says how many there were. */
  del(keys: string | readonly string[]): Command<number>
  exists(key: string): Command<boolean>
  /** Gives a key a time to live. False when there is no such key, or `when` prevented it. */
  expire(key: string, ttl: Duration, options?: ExpireOptions): Command<boolean>
  /** Takes the time to live off a key. False when it had none. */
  persist(key: string): Command<boolean>
  /** Milliseconds that a key has left; Infinity when it lasts, null when there is none. */
  ttl(key: string): Command<number | null>
  /** Adds to a counter, which begins at 0; its time to live stays. Not repeated after a lost connection. */
  incr(key: string, by?: number): Command<number>
  decr(key: string, by?: number): Command<number>
  /** Adds a number with a fraction. */
  incrByFloat(key: string, by: number): Command<number>
  /** `string`, `hash`, `list`, `set`, `zset`, …, or null. */
  type(key: string): Command<string | null>
  /** Sends to every subscriber of a channel; says how many there were on this server. */
  publish(channel: string, message: string): Command<number>
}

const GET = defineOperation('get', true)
const TAKE = defineOperation('take', false)
const SET = defineOperation('set', true)
const SET_WHEN = defineOperation('set', false)
const DEL = defineOperation('del', true)
const EXISTS = defineOperation('exists', true)
const EXPIRE = defineOperation('expire', true)
const EXPIRE_WHEN = defineOperation('expire', false)
const PERSIST = defineOperation('persist', true)
const TTL = defineOperation('ttl', true)
const INCR = defineOperation('incr', false)
const TYPE = defineOperation('type', true)
const PUBLISH = defineOperation('publish', false)

const EXPIRE_CONDITIONS = { lasting: 'NX', expiring: 'XX', longer: 'GT', shorter: 'LT' } as const

export function stringCommands(key: KeyMapper): StringCommands {
  const incrementBy = (name: string, by: number): Command<number> => ({
    spec: INCR,
    args: ['INCRBY', key(name), toInteger(by, 'incr by')],
    parse: asNumber,
  })
  return {
    get: (name) => ({ spec: GET, args: ['GET', key(name)], parse: asText }),
    getBuffer: (name) => ({ spec: GET, args: ['GET', key(name)], parse: asBuffer, binary: true }),
    take: (name) => ({ spec: TAKE, args: ['GETDEL', key(name)], parse: asText }),
    set: (name, value, options) => setCommand(key(name), value, options),
    del: (keys) => ({ spec: DEL, args: ['DEL', ...keyList(keys).map(key)], parse: asNumber }),
    exists: (name) => ({ spec: EXISTS, args: ['EXISTS', key(name)], parse: asBoolean }),
    expire: (name, ttl, options) => ({
      spec: options?.when === undefined ? EXPIRE : EXPIRE_WHEN,
      args: [
        'PEXPIRE',
        key(name),
        String(ttlMs(ttl, 'expire ttl')),
        ...(options?.when === undefined ? [] : [EXPIRE_CONDITIONS[options.when]]),
      ],
      parse: asBoolean,
    }),
    persist: (name) => ({ spec: PERSIST, args: ['PERSIST', key(name)], parse: asBoolean }),
    ttl: (name) => ({ spec: TTL, args: ['PTTL', key(name)], parse: asTimeLeft }),
    incr: (name, by = 1) => incrementBy(name, by),
    decr: (name, by = 1) => incrementBy(name, -by),
    incrByFloat: (name, by) => {
      if (!Number.isFinite(by)) throw invalid(`incrByFloat by: expected a finite number, got ${by}`)
      return { spec: INCR, args: ['INCRBYFLOAT', key(name), String(by)], parse: asNumber }
    },
    type: (name) => ({
      spec: TYPE,
      args: ['TYPE', key(name)],
      parse: (reply) => (reply === 'none' ? null : asText(reply)),
    }),
    publish: (channel, message) => ({
      spec: PUBLISH,
      args: ['PUBLISH', key(channel), message],
      parse: asNumber,
    }),
  }
}

function setCommand(key: string, value: RedisValue, options: SetOptions | undefined): Command<boolean> {
  const stored = toArgument(value, 'value')
  if (options === undefined) return { spec: SET, args: ['SET', key, stored], parse: wasSet }
  const args = ['SET', key, stored]
  if (options.ttl !== undefined) {
    if (options.keepTtl === true) throw invalid('set: ttl and keepTtl exclude each other')
    args.push('PX', String(ttlMs(options.ttl, 'set ttl')))
  }
  if (options.keepTtl === true) args.push('KEEPTTL')
  if (options.when !== undefined) args.push(options.when === 'absent' ? 'NX' : 'XX')
  return { spec: options.when === undefined ? SET : SET_WHEN, args, parse: wasSet }
}

export function keyList(keys: string | readonly string[]): readonly string[] {
  const list = typeof keys === 'string' ? [keys] : keys
  if (list.length === 0) throw invalid('expected at least one key')
  return list
}

const wasSet = (reply: Reply): boolean => reply !== null
const asBuffer = (reply: Reply): Buffer | null => reply as Buffer | null

function asTimeLeft(reply: Reply): number | null {
  if (reply === -2) return null
  return reply === -1 ? Infinity : asNumber(reply)
}
