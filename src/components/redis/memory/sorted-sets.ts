/**
 * Sorted sets of the in-memory backend: a map of scores, sorted when a range is read. That costs n log n a read, which
 * is right for the sizes that fit into a process and wrong for a leaderboard of millions.
 */
import { formatFloat, parseFloatArgument, parseInteger, syntaxError, type Arguments } from './arguments.ts'
import { OVERHEAD_BYTES, refused, textBytes } from './entry.ts'
import { range } from './lists.ts'
import type { EntryOf, MemoryStore } from './store.ts'
import type { CommandTable } from './table.ts'

type Scored = readonly [member: string, score: number]

export const SORTED_SET_COMMANDS: CommandTable = {
  ZADD: add,
  ZINCRBY: (store, args) => {
    const [key, by, member] = [args.text(), args.float(), args.text()]
    args.end()
    const after = (read(store, key).get(member) ?? 0) + by
    if (Number.isNaN(after)) throw refused('ERR resulting score is not a number (NaN)')
    put(store, key, sortedSetOrNew(store, key), member, after)
    return formatFloat(after)
  },
  ZREM: (store, args) => {
    const key = args.text()
    return remove(store, key, args.rest())
  },
  ZSCORE: (store, args) => {
    const scores = read(store, args.text())
    const score = scores.get(args.text())
    return score === undefined ? null : formatFloat(score)
  },
  ZCARD: (store, args) => {
    const scores = read(store, args.text())
    args.end()
    return scores.size
  },
  // Bounds are read before the key is looked at, here and below, as the server does.
  ZCOUNT: (store, args) => {
    const key = args.text()
    const isWithin = within(args.text(), args.text())
    return [...read(store, key)].filter(isWithin).length
  },
  ZRANGE: (store, args) => {
    const key = args.text()
    const [first, second] = [args.text(), args.text()]
    const options = rangeOptions(args)
    const select = options.byScore ? byScore(first, second, options) : byRank(first, second, options)
    const found = select(sorted(read(store, key)))
    return options.withScores
      ? found.flatMap(([member, score]) => [member, formatFloat(score)])
      : found.map(([member]) => member)
  },
  ZREMRANGEBYSCORE: (store, args) => {
    const key = args.text()
    const isWithin = within(args.text(), args.text())
    args.end()
    return remove(
      store,
      key,
      [...read(store, key)].filter(isWithin).map(([member]) => member),
    )
  },
}

function add(store: MemoryStore, args: Arguments): number {
  const key = args.text()
  const rest = args.rest()
  let when: 'NX' | 'XX' | undefined
  while (rest.length > 0) {
    const option = (rest[0] as string).toUpperCase()
    if (option !== 'NX' && option !== 'XX') break
    when = option
    rest.shift()
  }
  if (rest.length === 0 || rest.length % 2 === 1) throw syntaxError()
  // Every score is read before anything is written: a command does all or nothing.
  const pairs: Scored[] = []
  for (let at = 0; at < rest.length; at += 2) {
    pairs.push([rest[at + 1] as string, parseFloatArgument(rest[at] as string)])
  }
  if (when === 'XX' && store.typed(key, 'zset') === undefined) return 0
  const entry = sortedSetOrNew(store, key)
  const { scores } = entry.value
  const before = scores.size
  for (const [member, score] of pairs) {
    if ((when === 'NX' && scores.has(member)) || (when === 'XX' && !scores.has(member))) continue
    put(store, key, entry, member, score)
  }
  return scores.size - before
}

interface RangeOptions {
  readonly byScore: boolean
  readonly reverse: boolean
  readonly withScores: boolean
  readonly limited: boolean
  readonly limit: { readonly offset: number; readonly count: number }
}

function rangeOptions(args: Arguments): RangeOptions {
  const seen = new Set<string>()
  let limit = { offset: 0, count: -1 }
  while (args.left > 0) {
    const option = args.word()
    if (!['BYSCORE', 'REV', 'WITHSCORES', 'LIMIT'].includes(option)) throw syntaxError()
    seen.add(option)
    if (option === 'LIMIT') limit = { offset: args.integer(), count: args.integer() }
  }
  return {
    byScore: seen.has('BYSCORE'),
    reverse: seen.has('REV'),
    withScores: seen.has('WITHSCORES'),
    limited: seen.has('LIMIT'),
    limit,
  }
}

type Select = (order: readonly Scored[]) => readonly Scored[]

function byScore(first: string, second: string, { reverse, limit }: RangeOptions): Select {
  // With REV the greater bound comes first.
  const isWithin = reverse ? within(second, first) : within(first, second)
  return (order) => {
    const found = order.filter(isWithin)
    if (limit.offset < 0) return []
    const end = limit.count < 0 ? undefined : limit.offset + limit.count
    return (reverse ? found.toReversed() : found).slice(limit.offset, end)
  }
}

function byRank(first: string, second: string, { reverse, limited }: RangeOptions): Select {
  if (limited) {
    throw refused('ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX')
  }
  const [start, stop] = [parseInteger(first), parseInteger(second)]
  return (order) => (reverse ? order.toReversed() : order).slice(...range(order.length, start, stop))
}

/** Bounds of scores: `5`, `(5` for more than five, `-inf`, `+inf`. */
function within(low: string, high: string): (pair: Scored) => boolean {
  const [min, isMinOpen] = bound(low)
  const [max, isMaxOpen] = bound(high)
  return ([, score]) => (isMinOpen ? score > min : score >= min) && (isMaxOpen ? score < max : score <= max)
}

function bound(text: string): readonly [value: number, isOpen: boolean] {
  const isOpen = text.startsWith('(')
  try {
    return [parseFloatArgument(isOpen ? text.slice(1) : text), isOpen]
  } catch {
    throw refused('ERR min or max is not a float')
  }
}

/** By score, and by the bytes of the member where scores are equal, as the server does. */
function sorted(scores: ReadonlyMap<string, number>): readonly Scored[] {
  return [...scores].sort(
    ([left, leftScore], [right, rightScore]) =>
      leftScore - rightScore || Buffer.compare(Buffer.from(left), Buffer.from(right)),
  )
}

const read = (store: MemoryStore, key: string): ReadonlyMap<string, number> =>
  store.typed(key, 'zset')?.value.scores ?? new Map()

const sortedSetOrNew = (store: MemoryStore, key: string): EntryOf<'zset'> =>
  store.typedOrNew(key, 'zset', () => ({ type: 'zset', scores: new Map() }))

function put(store: MemoryStore, key: string, entry: EntryOf<'zset'>, member: string, score: number): void {
  if (!entry.value.scores.has(member)) store.grow(key, entry, memberBytes(member))
  entry.value.scores.set(member, score)
}

function remove(store: MemoryStore, key: string, members: readonly string[]): number {
  const entry = store.typed(key, 'zset')
  if (entry === undefined) return 0
  let count = 0
  for (const member of members) {
    if (!entry.value.scores.delete(member)) continue
    store.grow(key, entry, -memberBytes(member))
    count += 1
  }
  if (entry.value.scores.size === 0) store.delete(key)
  return count
}

const memberBytes = (member: string): number => textBytes(member) + 8 + OVERHEAD_BYTES
