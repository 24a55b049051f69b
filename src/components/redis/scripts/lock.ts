/**
 * The three steps of a lock. Its key holds `owner:token`, and the owner is a name for one taking, so that only
 * who took it can renew or release it, also when it never heard that it got it.
 *
 * The fencing token is the greater of the last token plus one and the server's time in microseconds: it grows with each
 * taking, also across a restart of the server with empty data.
 */
import { defineScript, type NativeContext } from './script.ts'

/**
 * KEYS 1 the lock, 2 the last token of all locks. ARGV owner, time to live in milliseconds.
 * Returns the token as text when the lock is the owner's now, or { milliseconds that another will hold it }.
 * May be repeated: an owner that has it already gets its token again, with a fresh time to live.
 */
export const ACQUIRE_LOCK = defineScript({
  name: 'lock-acquire',
  lua: `
local held = redis.call('GET', KEYS[1])
if held then
  local owner, token = string.match(held, '^(.+):(%d+)$')
  if owner ~= ARGV[1] then return { redis.call('PTTL', KEYS[1]) } end
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  return token
end
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local last = tonumber(redis.call('GET', KEYS[2]) or 0)
local token = string.format('%.0f', math.max(last + 1, now))
redis.call('SET', KEYS[2], token)
redis.call('SET', KEYS[1], ARGV[1] .. ':' .. token, 'PX', ARGV[2])
return token
`,
  native: (redis, keys, args) => {
    const [lock, fence] = keys as [string, string]
    const [owner, ttl] = args as [string, string]
    const held = redis.call('GET', lock)
    if (held !== null) {
      const [, holder, token] = /^(.+):(\d+)$/.exec(String(held)) ?? []
      if (holder !== owner) return [redis.call('PTTL', lock)]
      redis.call('PEXPIRE', lock, ttl)
      return token ?? null
    }
    const last = Number(redis.call('GET', fence) ?? 0)
    const token = String(Math.max(last + 1, Math.floor(redis.nowMs() * 1_000)))
    redis.call('SET', fence, token)
    redis.call('SET', lock, `${owner}:${token}`, 'PX', ttl)
    return token
  },
})

const IF_OWNED = `
local held = redis.call('GET', KEYS[1])
if not held or string.sub(held, 1, #ARGV[1] + 1) ~= ARGV[1] .. ':' then return 0 end
`

/** KEYS 1 the lock. ARGV owner, time to live in milliseconds. Returns 1 when it is still the owner's, else 0. */
export const RENEW_LOCK = defineScript({
  name: 'lock-renew',
  lua: `${IF_OWNED}return redis.call('PEXPIRE', KEYS[1], ARGV[2])`,
  native: (redis, keys, args) =>
    isOwned(redis, keys, args) ? redis.call('PEXPIRE', keys[0] as string, args[1] as string) : 0,
})

/** KEYS 1 the lock. ARGV owner. Deletes it when it is still the owner's; returns 1 then, else 0. */
export const RELEASE_LOCK = defineScript({
  name: 'lock-release',
  lua: `${IF_OWNED}return redis.call('DEL', KEYS[1])`,
  native: (redis, keys, args) => (isOwned(redis, keys, args) ? redis.call('DEL', keys[0] as string) : 0),
})

function isOwned(redis: NativeContext, keys: readonly string[], args: readonly string[]): boolean {
  const held = redis.call('GET', keys[0] as string)
  return typeof held === 'string' && held.startsWith(`${args[0]}:`)
}
