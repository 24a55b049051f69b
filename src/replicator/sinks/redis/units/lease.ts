/** Units that take, keep, try and give back the right to write a lane. */
import { FENCE, SWEEP } from './fence.ts'

/**
 * ARGV 1 owner, 2 milliseconds of the lease, 3 '1' where this owner has to be the last one, 4 its highest acknowledged
 * sequence number. Answers { 0, milliseconds left } where another holds it, { -1 | -2 | -3 } as above, else
 * { 1, token, seq, cursor, ready, mark, high }.
 */
export const ACQUIRE = `
local call = redis.call
local base = KEYS[1]
local state, lease = base .. 'state', base .. 'lease'
local s = call('HMGET', state, 'token', 'seq', 'cursor', 'ready', 'owner', 'mark', 'high')
if ARGV[3] == '1' then
  if not s[1] then return { -2 } end
  if s[5] ~= ARGV[1] then return { -1 } end
  if tonumber(s[2]) < tonumber(ARGV[4]) then return { -3 } end
else
  local holder = call('GET', lease)
  if holder and holder ~= ARGV[1] then return { 0, call('PTTL', lease) } end
end
local time = call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local token = string.format('%.0f', math.max(tonumber(s[1] or 0) + 1, now))
if s[1] then
  call('HSET', state, 'token', token, 'owner', ARGV[1])
else
  call('HSET', state, 'token', token, 'owner', ARGV[1], 'seq', '0', 'mark', '0', 'high', '')
end
call('SET', lease, ARGV[1], 'PX', ARGV[2])
return { 1, token, s[2] or '0', s[3] or false, s[4] or false, s[6] or '0', s[7] or (not s[1] and '') }
`

/** ARGV 1 owner. Ends the lease where it is the owner's, and the token with it: what is late is refused. */
export const RELEASE = `
local call = redis.call
local base = KEYS[1]
local state = base .. 'state'
local s = call('HMGET', state, 'token', 'owner')
if s[2] ~= ARGV[1] then return 0 end
call('HSET', state, 'token', string.format('%.0f', tonumber(s[1]) + 1), 'owner', '')
if call('GET', base .. 'lease') == ARGV[1] then call('DEL', base .. 'lease') end
return 1
`

/** The fence alone. Answers { seq }. */
export const RENEW = `${FENCE}${SWEEP}
sweep(milliseconds(), 500)
done()
return { seq }
`

/** Answers { 0 }, or what the fence or the server would answer to a write. Writes nothing: nothing is put into no key. */
export const CHECK = `${FENCE}
call('SETRANGE', base .. 'probe', 0, '')
return { 0 }
`
