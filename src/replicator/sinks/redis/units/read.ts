/** Units that only read. */

/** ARGV 1… ids. Answers { load mark, for each id what `meta` has, for each id the entity }. */
export const READ = `
local base = KEYS[1]
local names = {}
for i = 1, #ARGV do names[i] = base .. 'e:' .. ARGV[i] end
return {
  redis.call('HGET', base .. 'state', 'mark') or '0',
  redis.call('HMGET', base .. 'meta', unpack(ARGV)),
  redis.call('MGET', unpack(names)),
}
`

/** ARGV 1 how many. Answers the newest dead letters. */
export const DEAD_LETTERS = `
local base = KEYS[1]
local keys = redis.call('ZREVRANGE', base .. 'dead-order', 0, tonumber(ARGV[1]) - 1)
if #keys == 0 then return {} end
return redis.call('HMGET', base .. 'dead', unpack(keys))
`
