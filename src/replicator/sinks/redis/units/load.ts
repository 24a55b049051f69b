/** Units of a load: its begin, the removal of what it does not have, its end. */
import { FENCE } from './fence.ts'

/** ARGV 5 name of the load. Not ready from now on; what is applied from now on belongs to it. Answers { seq, mark }. */
export const BEGIN_LOAD = `${FENCE}
if s[6] ~= ARGV[5] then
  mark = string.format('%.0f', tonumber(mark) + 1)
  call('HSET', state, 'load', ARGV[5], 'mark', mark)
end
call('HDEL', state, 'ready')
done()
return { seq, mark }
`

/**
 * ARGV 5 name of the load, 6 position of the scan, 7 order key of the oldest page, 8 entities at once. Removes what does
 * not belong to the load and is not above that page. Answers { seq, next position, looked at, removed }, { -5 } where
 * another load has begun.
 */
export const PRUNE = `${FENCE}
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
export const FINISH_LOAD = `${FENCE}
if s[6] ~= ARGV[5] then return { -5 } end
call('HSET', state, 'ready', ARGV[5])
done()
return { seq }
`
