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
const FENCE = `
local call = redis.call
local base = KEYS[1]
local state = base .. 'state'
local s = call('HMGET', state, 'token', 'owner', 'seq', 'cursor', 'mark', 'load')
if not s[1] then return { -2 } end
if s[1] ~= ARGV[1] then return { s[2] == ARGV[2] and -4 or -1 } end
if tonumber(s[3]) < tonumber(ARGV[3]) then return { -3 } end
local seq = tonumber(s[3]) + 1
local mark = s[5]
local function done()
  call('HSET', state, 'seq', string.format('%.0f', seq))
  call('SET', base .. 'lease', ARGV[2], 'PX', ARGV[4])
end
`

/**
 * ARGV 1 owner, 2 milliseconds of the lease, 3 '1' where this owner has to be the last one, 4 its highest acknowledged
 * sequence number. Answers { 0, milliseconds left } where another holds it, { -1 | -2 | -3 } as above, else
 * { 1, token, seq, cursor, ready }.
 */
const ACQUIRE = `
local call = redis.call
local base = KEYS[1]
local state, lease = base .. 'state', base .. 'lease'
local s = call('HMGET', state, 'token', 'seq', 'cursor', 'ready', 'owner')
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
  call('HSET', state, 'token', token, 'owner', ARGV[1], 'seq', '0', 'mark', '0')
end
call('SET', lease, ARGV[1], 'PX', ARGV[2])
return { 1, token, s[2] or '0', s[3] or false, s[4] or false }
`

/** ARGV 1 owner. Ends the lease where it is the owner's, and the token with it: what is late is refused. */
const RELEASE = `
local call = redis.call
local base = KEYS[1]
local state = base .. 'state'
local s = call('HMGET', state, 'token', 'owner')
if s[2] ~= ARGV[1] then return 0 end
call('HSET', state, 'token', string.format('%.0f', tonumber(s[1]) + 1), 'owner', '')
if call('GET', base .. 'lease') == ARGV[1] then call('DEL', base .. 'lease') end
return 1
`

/** Forgets ids that were deleted, or ran out, long enough ago; a bounded number at once. */
const SWEEP = `
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

/** The fence alone. Answers { seq }. */
const RENEW = `${FENCE}${SWEEP}
sweep(milliseconds(), 500)
done()
return { seq }
`

/**
 * ARGV 5 cursor as 'ms-seq' or '', 6 milliseconds that an entity lives (0 for ever), 7 milliseconds that a deleted id is
 * remembered, 8 number of changes, 9 conditions, one letter a change, or '' for all 'n':
 *   n  nothing as new or newer is stored    s  nothing newer is stored (a row of a load)
 *   c  what is stored has exactly the version and form that the change was made from
 * 10 '1' where the lane has other names, 11 number of dead letters, 12 dead letters kept at most. Then by column: ids,
 * versions, values ('' deletes), with other names these (each behind a NUL), what was stored for each 'c', and for each
 * dead letter its key, time and text.
 * Answers { seq, applied, skipped }, or { -5 } and has done nothing where a 'c' does not hold.
 */
const APPLY = `${FENCE}${SWEEP}
local n, conditions, named = tonumber(ARGV[8]), ARGV[9], ARGV[10] == '1'
local meta = base .. 'meta'
local ids, stored = {}, {}
local versions, values, names = 12 + n, 12 + n + n, 12 + n + n + n
local rest = named and names + n or names
local set, sets, metas, m, dels, removed = {}, 0, {}, 0, {}, {}
local applied, now = 0, {}
if n > 0 then
  for i = 1, n do ids[i] = ARGV[12 + i] end
  stored = call('HMGET', meta, unpack(ids))
  local tail, entity = '+' .. mark, base .. 'e:'
  for i = 1, n do
    local have, version = stored[i], ARGV[versions + i]
    local go = not have or have < version
    if conditions ~= '' then
      local condition = string.byte(conditions, i)
      if condition == 99 then
        rest = rest + 1
        if (have or '') ~= ARGV[rest] then return { -5 } end
        go = true
      elseif condition == 115 and not go then
        local sign = string.byte(have, #version + 1)
        if string.sub(have, 1, #version) == version and (sign == 43 or sign == 45) then
          go = true
        else
          local v, old, others = string.match(have, '^(%u%d+%u%d+)%+(%d+)(.*)$')
          if v and old ~= mark then
            m = m + 2
            metas[m - 1], metas[m] = ids[i], v .. tail .. others
          end
        end
      end
    end
    if go then
      applied = applied + 1
      local value = ARGV[values + i]
      m = m + 2
      metas[m - 1] = ids[i]
      if value == '' then
        metas[m] = version .. '-' .. mark
        dels[#dels + 1] = entity .. ids[i]
        removed[#removed + 1] = ids[i]
      else
        metas[m] = named and version .. tail .. ARGV[names + i] or version .. tail
        sets = sets + 2
        set[sets - 1], set[sets] = entity .. ids[i], value
      end
      if named then now[i] = metas[m] end
    end
  end
end

local points, unpoint = {}, {}
if named then
  local row, fresh, owners = {}, {}, {}
  for i = 1, n do
    if now[i] then fresh[ids[i]] = now[i] end
  end
  local function othersOf(text)
    local at = text and string.find(text, '\\0', 1, true)
    return at and string.sub(text, at) or ''
  end
  local function owner(name)
    if owners[name] == nil then owners[name] = call('GET', base .. 'k:' .. name) end
    return owners[name]
  end
  local again = tonumber(ARGV[6]) > 0
  for i = 1, n do
    if now[i] then
      local old, new = othersOf(stored[i]), othersOf(now[i])
      if old ~= new then
        local closed = new .. '\\0'
        for name in string.gmatch(old, '[^%z]+') do
          if not string.find(closed, '\\0' .. name .. '\\0', 1, true) and owner(name) == ids[i] then
            owners[name], unpoint[name] = false, true
          end
        end
      end
      if old ~= new or again then row[#row + 1] = i end
    end
  end
  for _, i in ipairs(row) do
    for name in string.gmatch(othersOf(now[i]), '[^%z]+') do
      local other = owner(name)
      local mine = true
      if other and other ~= ids[i] then
        local theirs = fresh[other] or call('HGET', meta, other)
        if theirs and not (theirs < ARGV[versions + i]) then
          mine = not string.find(othersOf(theirs) .. '\\0', '\\0' .. name .. '\\0', 1, true)
        end
      end
      if mine then owners[name], points[name], unpoint[name] = ids[i], ids[i], nil end
    end
  end
end

local ttl, letters = tonumber(ARGV[6]), tonumber(ARGV[11])
-- What is written below must be of its type, also where a unit without entities is to show whether any can be stored.
if n == 0 then call('HLEN', meta) end
if n == 0 or ttl > 0 or #dels > 0 then call('ZCARD', base .. 'gone') end
if n == 0 or letters > 0 then
  call('HLEN', base .. 'dead')
  call('ZCARD', base .. 'dead-order')
end
if sets > 0 then
  if ttl > 0 then
    for i = 1, sets, 2 do call('SET', set[i], set[i + 1], 'PX', ttl) end
  else
    call('MSET', unpack(set))
  end
end
if m > 0 then call('HSET', meta, unpack(metas)) end
if #dels > 0 then
  call('DEL', unpack(dels))
  local over = milliseconds() + tonumber(ARGV[7])
  for i = 1, #removed do call('ZADD', base .. 'gone', over, removed[i]) end
end
if ttl > 0 and sets > 0 then
  local over, from = milliseconds() + ttl + 1000, #(base .. 'e:') + 1
  for i = 1, sets, 2 do call('ZADD', base .. 'gone', over, string.sub(set[i], from)) end
end
if #dels > 0 or (ttl > 0 and sets > 0) then sweep(milliseconds(), 2 * n) end
for name in pairs(unpoint) do call('DEL', base .. 'k:' .. name) end
for name, id in pairs(points) do
  if ttl > 0 then call('SET', base .. 'k:' .. name, id, 'PX', ttl) else call('SET', base .. 'k:' .. name, id) end
end

if letters > 0 then
  local order = base .. 'dead-order'
  for _ = 1, letters do
    call('HSET', base .. 'dead', ARGV[rest + 1], ARGV[rest + 3])
    call('ZADD', order, ARGV[rest + 2], ARGV[rest + 1])
    rest = rest + 3
  end
  local over = call('ZCARD', order) - tonumber(ARGV[12])
  if over > 0 then
    for _, key in ipairs(call('ZRANGE', order, 0, over - 1)) do
      call('HDEL', base .. 'dead', key)
      call('ZREM', order, key)
    end
  end
end

local cursor = ARGV[5]
if cursor ~= '' then
  local have = s[4]
  if have then
    local ms, sq = string.match(cursor, '^(%d+)-(%d+)$')
    local oldMs, oldSq = string.match(have, '^(%d+)-(%d+)$')
    ms, sq, oldMs, oldSq = tonumber(ms), tonumber(sq), tonumber(oldMs), tonumber(oldSq)
    if ms > oldMs or (ms == oldMs and sq > oldSq) then have = nil end
  end
  if not have then call('HSET', state, 'cursor', cursor) end
end
done()
return { seq, applied, n - applied }
`

/** ARGV 1… ids. Answers { load mark, for each id what `meta` has, for each id the entity }. */
const READ = `
local base = KEYS[1]
local names = {}
for i = 1, #ARGV do names[i] = base .. 'e:' .. ARGV[i] end
return {
  redis.call('HGET', base .. 'state', 'mark') or '0',
  redis.call('HMGET', base .. 'meta', unpack(ARGV)),
  redis.call('MGET', unpack(names)),
}
`

/** ARGV 5 name of the load. Not ready from now on; what is applied from now on belongs to it. Answers { seq }. */
const BEGIN_LOAD = `${FENCE}
if s[6] ~= ARGV[5] then call('HSET', state, 'load', ARGV[5], 'mark', string.format('%.0f', tonumber(mark) + 1)) end
call('HDEL', state, 'ready')
done()
return { seq }
`

/**
 * ARGV 5 name of the load, 6 position of the scan, 7 order key of the oldest page, 8 entities at once. Removes what does
 * not belong to the load and is not above that page. Answers { seq, next position, looked at, removed }, { -5 } where
 * another load has begun.
 */
const PRUNE = `${FENCE}
if s[6] ~= ARGV[5] then return { -5 } end
local meta = base .. 'meta'
local page = call('HSCAN', meta, ARGV[6], 'COUNT', ARGV[8])
local looked, removed = 0, 0
for i = 1, #page[2], 2 do
  local id = page[2][i]
  local version, sign, of, others = string.match(page[2][i + 1], '^(%u%d+%u%d+)([+-])(%d+)(.*)$')
  if sign == '+' then
    looked = looked + 1
    if of ~= mark and not (ARGV[7] < version) then
      removed = removed + 1
      for name in string.gmatch(others, '[^%z]+') do
        if call('GET', base .. 'k:' .. name) == id then call('DEL', base .. 'k:' .. name) end
      end
      call('DEL', base .. 'e:' .. id)
      call('HDEL', meta, id)
    end
  end
end
done()
return { seq, page[1], looked, removed }
`

/** ARGV 5 name of the load: all of it is stored. Answers { seq }, { -5 } where another load has begun. */
const FINISH_LOAD = `${FENCE}
if s[6] ~= ARGV[5] then return { -5 } end
call('HSET', state, 'ready', ARGV[5])
done()
return { seq }
`

/** Answers { 0 }, or what the fence or the server would answer to a write. Writes nothing: nothing is put into no key. */
const CHECK = `${FENCE}
call('SETRANGE', base .. 'probe', 0, '')
return { 0 }
`

/** ARGV 1 how many. Answers the newest dead letters. */
const DEAD_LETTERS = `
local base = KEYS[1]
local keys = redis.call('ZREVRANGE', base .. 'dead-order', 0, tonumber(ARGV[1]) - 1)
if #keys == 0 then return {} end
return redis.call('HMGET', base .. 'dead', unpack(keys))
`

export const UNITS = {
  acquire: ACQUIRE,
  release: RELEASE,
  renew: RENEW,
  apply: APPLY,
  read: READ,
  begin_load: BEGIN_LOAD,
  prune: PRUNE,
  finish_load: FINISH_LOAD,
  check: CHECK,
  dead_letters: DEAD_LETTERS,
} as const

export type Unit = keyof typeof UNITS
