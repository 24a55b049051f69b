/**
 * The steps of a session. Its key holds a hash: `d` the data, `x` when it ends at the latest, in milliseconds of the
 * server's clock, and `o` the key of its owner's index, where it has one. The index is a sorted set of session keys by
 * `x`. A session ends when it was idle for too long (the key's time to live) or at `x`, whichever comes first.
 */
import { defineScript } from './script.ts'

const NOW = `
local time = redis.call('TIME')
local now = math.floor(tonumber(time[1]) * 1000 + tonumber(time[2]) / 1000)
`

/** KEYS 1 the session, 2 the index of its owner ('' for none). ARGV data, idle and absolute limit in milliseconds. */
export const CREATE_SESSION = defineScript({
  name: 'session-create',
  lua: `${NOW}
local ends = now + tonumber(ARGV[3])
redis.call('HSET', KEYS[1], 'd', ARGV[1], 'x', string.format('%.0f', ends), 'o', KEYS[2])
redis.call('PEXPIRE', KEYS[1], math.min(tonumber(ARGV[2]), tonumber(ARGV[3])))
if KEYS[2] ~= '' then
  redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', string.format('%.0f', now))
  redis.call('ZADD', KEYS[2], string.format('%.0f', ends), KEYS[1])
  -- The index lasts as long as the longest of its sessions: limits may have been lowered since.
  redis.call('PEXPIRE', KEYS[2], math.max(redis.call('PTTL', KEYS[2]), tonumber(ARGV[3])))
end
return 1
`,
  native: (redis, keys, args) => {
    const [session, index] = keys as [string, string]
    const [data, idle, absolute] = args as [string, string, string]
    const now = Math.floor(redis.nowMs())
    const ends = now + Number(absolute)
    redis.call('HSET', session, 'd', data, 'x', ends, 'o', index)
    redis.call('PEXPIRE', session, Math.min(Number(idle), Number(absolute)))
    if (index !== '') {
      redis.call('ZREMRANGEBYSCORE', index, '-inf', now)
      redis.call('ZADD', index, ends, session)
      redis.call('PEXPIRE', index, Math.max(Number(redis.call('PTTL', index)), Number(absolute)))
    }
    return 1
  },
})

/** KEYS 1 the session. ARGV idle limit in milliseconds. Returns the data and begins a new idle time, or null. */
export const READ_SESSION = defineScript({
  name: 'session-read',
  lua: `${NOW}
local found = redis.call('HMGET', KEYS[1], 'd', 'x')
if not found[1] then return false end
local left = tonumber(found[2]) - now
if left <= 0 then
  redis.call('DEL', KEYS[1])
  return false
end
redis.call('PEXPIRE', KEYS[1], math.min(tonumber(ARGV[1]), left))
return found[1]
`,
  native: (redis, keys, args) => {
    const [session] = keys as [string]
    const [data, ends] = redis.call('HMGET', session, 'd', 'x') as readonly (string | null)[]
    if (data === null || data === undefined) return null
    const left = Number(ends) - Math.floor(redis.nowMs())
    if (left <= 0) {
      redis.call('DEL', session)
      return null
    }
    redis.call('PEXPIRE', session, Math.min(Number(args[0]), left))
    return data
  },
})

/** KEYS 1 the session. ARGV data. Replaces the data of a session that exists; returns 1 then, else 0. */
export const WRITE_SESSION = defineScript({
  name: 'session-write',
  lua: `
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('HSET', KEYS[1], 'd', ARGV[1])
return 1
`,
  native: (redis, keys, args) => {
    const [session] = keys as [string]
    if (redis.call('EXISTS', session) === 0) return 0
    redis.call('HSET', session, 'd', args[0] as string)
    return 1
  },
})

/** KEYS 1 the session, 2 its new key. Moves it with its limits; returns 1, or 0 where there is none. */
export const ROTATE_SESSION = defineScript({
  name: 'session-rotate',
  lua: `
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('RENAME', KEYS[1], KEYS[2])
local rest = redis.call('HMGET', KEYS[2], 'o', 'x')
if rest[1] ~= '' then
  redis.call('ZREM', rest[1], KEYS[1])
  redis.call('ZADD', rest[1], rest[2], KEYS[2])
end
return 1
`,
  native: (redis, keys) => {
    const [from, to] = keys as [string, string]
    if (redis.call('EXISTS', from) === 0) return 0
    redis.call('RENAME', from, to)
    const [index, ends] = redis.call('HMGET', to, 'o', 'x') as readonly string[]
    if (index !== undefined && index !== '') {
      redis.call('ZREM', index, from)
      redis.call('ZADD', index, ends as string, to)
    }
    return 1
  },
})

/** KEYS 1 the session. Ends it and takes it out of its owner's index; returns 1, or 0 where there is none. */
export const DESTROY_SESSION = defineScript({
  name: 'session-destroy',
  lua: `
local index = redis.call('HGET', KEYS[1], 'o')
if index and index ~= '' then redis.call('ZREM', index, KEYS[1]) end
return redis.call('DEL', KEYS[1])
`,
  native: (redis, keys) => {
    const [session] = keys as [string]
    const index = redis.call('HGET', session, 'o')
    if (index !== null && index !== '') redis.call('ZREM', index as string, session)
    return redis.call('DEL', session)
  },
})

/** KEYS 1 the index of an owner. Ends every session of the owner; returns how many there were. */
export const DESTROY_SESSIONS = defineScript({
  name: 'session-destroy-all',
  lua: `
local ended = 0
for _, session in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  ended = ended + redis.call('DEL', session)
end
redis.call('DEL', KEYS[1])
return ended
`,
  native: (redis, keys) => {
    const [index] = keys as [string]
    const sessions = redis.call('ZRANGE', index, 0, -1) as readonly string[]
    const ended = sessions.reduce((count, session) => count + Number(redis.call('DEL', session)), 0)
    redis.call('DEL', index)
    return ended
  },
})
