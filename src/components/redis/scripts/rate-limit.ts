/**
 * Takes tokens from a bucket, in one step.
 *
 * KEYS 1 the bucket. ARGV limit, window in microseconds, cost.
 * Returns { allowed 0/1, tokens left, microseconds until as much would be allowed, microseconds until it is full }.
 * Writes the bucket only when the tokens were there; the key ends when the bucket is full again.
 *
 * The algorithm is GCRA (ITU-T I.371) in its virtual-scheduling form: the bucket is one number, the time at which it
 * will be full. The clock is the server's, so that callers with wrong clocks share one limit. Half a microsecond and a
 * thousandth of a token of slack keep rounding from refusing what is due.
 */
import { defineScript } from './script.ts'

export const TAKE_TOKENS = defineScript({
  name: 'rate-limit',
  lua: `
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local limit, window, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local interval = window / limit
local full = tonumber(redis.call('GET', KEYS[1]) or now)
if full < now then full = now end
local after = full + interval * cost
local wait = after - window - now
if wait > 0.5 then
  return { 0, math.floor((window - full + now) / interval + 0.001), math.ceil(wait), math.ceil(full - now) }
end
redis.call('SET', KEYS[1], string.format('%.3f', after), 'PX', math.max(1, math.ceil((after - now) / 1000)))
return { 1, math.floor((window - after + now) / interval + 0.001), 0, math.ceil(after - now) }
`,
  native: (redis, keys, args) => {
    const now = redis.nowMs() * 1_000
    const [limit, window, cost] = args.map(Number) as [number, number, number]
    const key = keys[0] as string
    const interval = window / limit
    const full = Math.max(Number(redis.call('GET', key) ?? now), now)
    const after = full + interval * cost
    const wait = after - window - now
    if (wait > 0.5) {
      return [0, Math.floor((window - full + now) / interval + 0.001), Math.ceil(wait), Math.ceil(full - now)]
    }
    redis.call('SET', key, after.toFixed(3), 'PX', Math.max(1, Math.ceil((after - now) / 1_000)))
    return [1, Math.floor((window - after + now) / interval + 0.001), 0, Math.ceil(after - now)]
  },
})
