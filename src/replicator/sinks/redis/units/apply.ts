/** The unit that stores a batch. */
import { FENCE, SWEEP } from './fence.ts'

/**
 * ARGV 5 cursor as 'ms-seq' or '', 6 milliseconds that an entity lives (0 for ever), 7 milliseconds that a deleted id is
 * remembered, 8 '1' where the lane has other names, 9 mark of the load that `metas` carry, 10 the highest version among
 * them or '', 11 conditions, one letter a change, or '' where nothing is to be compared:
 *   u  nothing as new can be stored, as the writer knows
 *   n  nothing as new or newer is stored    s  nothing newer is stored (a row of a load)
 *   c  what is stored has exactly the version and form that the change was made from
 * 12, 13 '' or lists in MessagePack, since one large argument costs a client a fraction of thousands of small ones:
 *   sets   key and value of each entity that is stored
 *   metas  id and version, sign, mark and other names (each behind a NUL) of each change: first those of `sets`, in
 *          their order, then those that are deleted
 *   from   behind `metas`: what was stored for each 'c'
 * 14 dead letters kept at most, 15… for each dead letter its key, time and text.
 * Answers { seq, applied, skipped }. Has done nothing where it answers { -5 }, as a 'c' does not hold, or { -6, mark }, as
 * this is another one.
 */
export const APPLY = `${FENCE}${SWEEP}
local sets, metas, from = {}, {}, {}
if ARGV[12] ~= '' then
  if ARGV[9] ~= mark then return { -6, mark } end
  sets = cmsgpack.unpack(ARGV[12])
  metas, from = cmsgpack.unpack(ARGV[13])
end
local n, valued, named, conditions = #metas / 2, #sets / 2, ARGV[8] == '1', ARGV[11]
local meta, entity = base .. 'meta', base .. 'e:'
local ids, stored = {}, {}
if n > 0 and (named or conditions ~= '') then
  for i = 1, n do ids[i] = metas[2 * i - 1] end
  stored = call('HMGET', meta, unpack(ids))
end

-- What is written, and by number of its change what \`meta\` will have.
local writtenSets, writtenMetas, removed, now, applied = sets, metas, {}, {}, n
if conditions == '' then
  for i = valued + 1, n do removed[#removed + 1] = metas[2 * i - 1] end
  if named then
    for i = 1, n do now[i] = metas[2 * i] end
  end
else
  writtenSets, writtenMetas, applied = {}, {}, 0
  local compared, s, m = 0, 0, 0
  for i = 1, n do
    local id, fresh, have, condition = ids[i], metas[2 * i], stored[i], string.byte(conditions, i)
    local go = condition == 117 or not have
    if condition == 99 then
      compared = compared + 1
      if (have or '') ~= from[compared] then return { -5 } end
      go = true
    elseif not go then
      local version = string.match(fresh, '^%u%d+%u%d+')
      go = have < version
      if not go and condition == 115 then
        local sign = string.byte(have, #version + 1)
        if string.sub(have, 1, #version) == version and (sign == 43 or sign == 45) then
          go = true
        else
          local v, old, others = string.match(have, '^(%u%d+%u%d+)%+(%d+)(.*)$')
          if v and old ~= mark then
            m = m + 2
            writtenMetas[m - 1], writtenMetas[m] = id, v .. '+' .. mark .. others
          end
        end
      end
    end
    if go then
      applied, now[i], m = applied + 1, fresh, m + 2
      writtenMetas[m - 1], writtenMetas[m] = id, fresh
      if i <= valued then
        s = s + 2
        writtenSets[s - 1], writtenSets[s] = sets[2 * i - 1], sets[2 * i]
      else
        removed[#removed + 1] = id
      end
    end
  end
end

local ttl, points, unpoint = tonumber(ARGV[6]), {}, {}
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
      if old ~= new or ttl > 0 then row[#row + 1] = i end
    end
  end
  for _, i in ipairs(row) do
    for name in string.gmatch(othersOf(now[i]), '[^%z]+') do
      local other = owner(name)
      local mine = true
      if other and other ~= ids[i] then
        local theirs = fresh[other] or call('HGET', meta, other)
        if theirs and not (theirs < string.match(now[i], '^%u%d+%u%d+')) then
          mine = not string.find(othersOf(theirs) .. '\\0', '\\0' .. name .. '\\0', 1, true)
        end
      end
      if mine then owners[name], points[name], unpoint[name] = ids[i], ids[i], nil end
    end
  end
end

local letters = (#ARGV - 14) / 3
-- What is written below must be of its type, also where a unit without entities is to show whether any can be stored.
if n == 0 then call('HLEN', meta) end
if n == 0 or ttl > 0 or #removed > 0 then call('ZCARD', base .. 'gone') end
if n == 0 or letters > 0 then
  call('HLEN', base .. 'dead')
  call('ZCARD', base .. 'dead-order')
end
if #writtenSets > 0 then
  if ttl > 0 then
    local over, from = milliseconds() + ttl + 1000, #entity + 1
    for i = 1, #writtenSets, 2 do
      call('SET', writtenSets[i], writtenSets[i + 1], 'PX', ttl)
      call('ZADD', base .. 'gone', over, string.sub(writtenSets[i], from))
    end
  else
    call('MSET', unpack(writtenSets))
  end
end
if #writtenMetas > 0 then call('HSET', meta, unpack(writtenMetas)) end
if #removed > 0 then
  local keys, over = {}, milliseconds() + tonumber(ARGV[7])
  for i = 1, #removed do
    keys[i] = entity .. removed[i]
    call('ZADD', base .. 'gone', over, removed[i])
  end
  call('DEL', unpack(keys))
end
if #removed > 0 or (ttl > 0 and #writtenSets > 0) then sweep(milliseconds(), 2 * n) end
for name in pairs(unpoint) do call('DEL', base .. 'k:' .. name) end
for name, id in pairs(points) do
  if ttl > 0 then call('SET', base .. 'k:' .. name, id, 'PX', ttl) else call('SET', base .. 'k:' .. name, id) end
end

if letters > 0 then
  local order = base .. 'dead-order'
  for at = 15, #ARGV, 3 do
    call('HSET', base .. 'dead', ARGV[at], ARGV[at + 2])
    call('ZADD', order, ARGV[at + 1], ARGV[at])
  end
  local over = call('ZCARD', order) - tonumber(ARGV[14])
  if over > 0 then
    for _, key in ipairs(call('ZRANGE', order, 0, over - 1)) do
      call('HDEL', base .. 'dead', key)
      call('ZREM', order, key)
    end
  end
end

local cursor, facts = ARGV[5], {}
if cursor ~= '' then
  local have = s[4]
  if have then
    local ms, sq = string.match(cursor, '^(%d+)-(%d+)$')
    local oldMs, oldSq = string.match(have, '^(%d+)-(%d+)$')
    ms, sq, oldMs, oldSq = tonumber(ms), tonumber(sq), tonumber(oldMs), tonumber(oldSq)
    if ms > oldMs or (ms == oldMs and sq > oldSq) then have = nil end
  end
  if not have then facts = { 'cursor', cursor } end
end
-- Unknown stays unknown.
if s[7] and s[7] < ARGV[10] then
  facts[#facts + 1] = 'high'
  facts[#facts + 1] = ARGV[10]
end
done(unpack(facts))
return { seq, applied, n - applied }
`
