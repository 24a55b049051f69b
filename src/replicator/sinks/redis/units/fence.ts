/**
 * The atomic units of the sink, in Lua. Each takes KEYS 1, what all keys of the lane begin with, and nothing else of the
 * keyspace: all that it touches has the hash tag of that key.
 *
 * Units that write begin with the fence. ARGV 1 token, 2 owner, 3 the highest sequence number that this writer saw
 * acknowledged, 4 milliseconds of the lease. The token is above that of every writer before. The lease only says when
 * another may take over: where it ran out and nobody did, the token is still the writer's and it goes on.
 * They answer { sequence number, … }, or { code } where nothing was done:
 *   -1  another writer has taken over
 *   -2  there is no state: the store was emptied
 *   -3  the store is older than what it acknowledged: a failover, or an old copy was restored
 *   -4  this writer has a newer token: it gave up on this call
 *
 * Everything is read before anything is written, and no write meets a type that it cannot replace, so that a unit that
 * fails has done nothing.
 */
export const FENCE = `
local call = redis.call
local base = KEYS[1]
local state = base .. 'state'
local s = call('HMGET', state, 'token', 'owner', 'seq', 'cursor', 'mark', 'load', 'high')
if not s[1] then return { -2 } end
if s[1] ~= ARGV[1] then return { s[2] == ARGV[2] and -4 or -1 } end
if tonumber(s[3]) < tonumber(ARGV[3]) then return { -3 } end
local seq = tonumber(s[3]) + 1
local mark = s[5]
local function done(...)
  call('HSET', state, 'seq', string.format('%.0f', seq), ...)
  call('SET', base .. 'lease', ARGV[2], 'PX', ARGV[4])
end
`

/** Forgets ids that were deleted, or ran out, long enough ago; a bounded number at once. */
export const SWEEP = `
local function milliseconds()
  local time = call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end
local function sweep(now, limit)
  local over = call('ZRANGEBYSCORE', base .. 'gone', '-inf', now, 'LIMIT', 0, limit)
  if #over == 0 then return end
  local found, forget = call('HMGET', base .. 'meta', unpack(over)), {}
  for i = 1, #over do
    local sign = found[i] and string.match(found[i], '^%u%d+%u%d+([+-])')
    if sign == '-' or (sign == '+' and call('EXISTS', base .. 'e:' .. over[i]) == 0) then
      forget[#forget + 1] = over[i]
    end
  end
  call('ZREM', base .. 'gone', unpack(over))
  if #forget > 0 then call('HDEL', base .. 'meta', unpack(forget)) end
end
`
