/** Random commands, sent to a server and to the memory alike, have the same replies. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Redis } from '../../../src/components/redis/index.ts'
import { isSluiceError } from '../../../src/core/errors.ts'
import { serverAt } from '../../support/servers.ts'
import { connectRedis, ownPrefix } from './support.ts'

const server = await serverAt('redis')

type Args = readonly string[]

const key = fc.constantFrom('a', 'b', 'c')
const text = fc.oneof(
  fc.constantFrom('', '0', '1', '-1', '07', '1.5', 'abc', 'inf', ' 1', '900719925474099'),
  fc.string({ unit: 'grapheme', maxLength: 8 }),
)
const member = fc.constantFrom('x', 'y', 'z', 'ü')
const integer = fc.integer({ min: -4, max: 4 }).map(String)
const score = fc.constantFrom('-inf', '-1.5', '0', '1', '1', '2.25', 'inf', 'no number')
const bound = fc.oneof(score, fc.constantFrom('(0', '(1', '(-inf'))

const tuple = (name: string, ...parts: fc.Arbitrary<string>[]): fc.Arbitrary<Args> =>
  fc.tuple(fc.constant(name), ...parts) as fc.Arbitrary<Args>
const command: fc.Arbitrary<Args> = fc.oneof(
  tuple('SET', key, text),
  fc
    .tuple(key, text, fc.subarray(['NX', 'XX', 'GET', 'KEEPTTL']))
    .map(([k, v, options]) => ['SET', k, v, ...options]),
  tuple('GET', key),
  tuple('GETDEL', key),
  tuple('STRLEN', key),
  tuple('APPEND', key, text),
  tuple('INCR', key),
  tuple('DECRBY', key, integer),
  tuple('INCRBY', key, text),
  tuple('DEL', key, key),
  tuple('EXISTS', key, key),
  tuple('TYPE', key),
  tuple('PEXPIRE', key, fc.constantFrom('100000', '-1', '0', 'x')),
  tuple('PEXPIRE', key, fc.constant('200000'), fc.constantFrom('NX', 'XX', 'GT', 'LT')),
  tuple('PERSIST', key),
  tuple('TTL', key),
  tuple('RENAME', key, key),
  tuple('MGET', key, key),
  tuple('MSET', key, text, key, text),
  tuple('HSET', key, member, text),
  tuple('HSETNX', key, member, text),
  tuple('HGET', key, member),
  tuple('HMGET', key, member, member),
  tuple('HDEL', key, member, member),
  tuple('HLEN', key),
  tuple('HEXISTS', key, member),
  tuple('HINCRBY', key, member, integer),
  tuple('LPUSH', key, member, member),
  tuple('RPUSH', key, text),
  tuple('LPOP', key),
  tuple('RPOP', key, fc.constantFrom('0', '1', '2', '-1')),
  tuple('LLEN', key),
  tuple('LRANGE', key, integer, integer),
  tuple('LTRIM', key, integer, integer),
  tuple('SADD', key, member, member),
  tuple('SREM', key, member),
  tuple('SISMEMBER', key, member),
  tuple('SCARD', key),
  tuple('ZADD', key, score, member, score, member),
  tuple('ZADD', key, fc.constantFrom('NX', 'XX'), score, member),
  tuple('ZINCRBY', key, score, member),
  tuple('ZREM', key, member, member),
  tuple('ZSCORE', key, member),
  tuple('ZCARD', key),
  tuple('ZCOUNT', key, bound, bound),
  tuple('ZRANGE', key, integer, integer, fc.constantFrom('WITHSCORES', 'REV')),
  tuple('ZRANGE', key, bound, bound, fc.constant('BYSCORE'), fc.constantFrom('WITHSCORES', 'REV')),
  tuple('ZRANGE', key, bound, bound, fc.constant('BYSCORE'), fc.constant('LIMIT'), integer, integer),
  tuple('ZREMRANGEBYSCORE', key, bound, bound),
  fc
    .tuple(fc.constantFrom('GET', 'SET', 'HSET', 'LPUSH', 'ZADD', 'INCR'), fc.array(member, { maxLength: 2 }))
    .map(([name, rest]) => [name, ...rest]),
)

/** Where keys stand in a command, so that they can be given the prefix of the run. */
const ALL_KEYS = new Set(['DEL', 'EXISTS', 'RENAME', 'MGET'])
function withPrefix([name, ...args]: Args, prefix: string): string[] {
  const isKey = (at: number): boolean =>
    at === 0 || ALL_KEYS.has(name as string) || (name === 'MSET' && at % 2 === 0)
  return [name as string, ...args.map((arg, at) => (isKey(at) ? prefix + arg : arg))]
}

/** GT and LT compare times that a millisecond may decide: here no two of them are close. */
function spaced(args: Args, at: number): Args {
  return args[0] === 'PEXPIRE' && args.length === 4
    ? ['PEXPIRE', args[1] as string, String(200_000 + at * 10_000), args[3] as string]
    : args
}

/** The reply, or that it was refused; of a refusal the first word counts, as the texts are the server's own. */
async function replyOf(cache: Redis, args: readonly string[]): Promise<unknown> {
  try {
    return await cache.command(args)
  } catch (error) {
    assert.ok(isSluiceError(error))
    assert.equal(error.code, 'SLUICE_QUERY', `${args.join(' ')}: ${error.message}`)
    return `refused: ${/refused the command: (\w+)|replied: (\w+)/.exec(error.message)?.slice(1).join('')}`
  }
}

test('random commands have the same replies on a server and in memory', { skip: server.skip }, async () => {
  await using onServer = await connectRedis({ addr: server.url })
  await using inMemory = await connectRedis()
  await fc.assert(
    fc.asyncProperty(fc.array(command, { minLength: 1, maxLength: 40 }), async (commands) => {
      const prefix = ownPrefix()
      try {
        for (const [at, each] of commands.entries()) {
          const args = withPrefix(spaced(each, at), prefix)
          const [expected, actual] = await Promise.all([
            replyOf(onServer.cache, args),
            replyOf(inMemory.cache, args),
          ])
          assert.deepEqual(actual, expected, JSON.stringify(each))
        }
      } finally {
        await onServer.cache.del(['a', 'b', 'c', 'x', 'y', 'z', 'ü', ''].map((name) => prefix + name))
      }
    }),
    { numRuns: 500 },
  )
})
