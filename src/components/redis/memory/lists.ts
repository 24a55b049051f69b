/** Lists of the in-memory backend. A list without items is no key. */
import type { Reply } from '../backend.ts'
import { refused, textBytes, OVERHEAD_BYTES } from './entry.ts'
import type { Arguments } from './arguments.ts'
import type { MemoryStore } from './store.ts'
import type { CommandTable } from './table.ts'

export const LIST_COMMANDS: CommandTable = {
  LPUSH: (store, args) => push(store, args, 'head'),
  RPUSH: (store, args) => push(store, args, 'tail'),
  LPOP: (store, args) => pop(store, args, 'head'),
  RPOP: (store, args) => pop(store, args, 'tail'),
  LLEN: (store, args) => {
    const length = items(store, args.text()).length
    args.end()
    return length
  },
  LRANGE: (store, args) => {
    const list = items(store, args.text())
    const [start, end] = range(list.length, args.integer(), args.integer())
    args.end()
    return list.slice(start, end)
  },
  LTRIM: (store, args) => {
    const key = args.text()
    const entry = store.typed(key, 'list')
    const [start, end] = range(entry?.value.items.length ?? 0, args.integer(), args.integer())
    args.end()
    if (entry === undefined) return 'OK'
    const list = entry.value.items
    const dropped = [...list.splice(end), ...list.splice(0, start)]
    store.grow(key, entry, -bytesOf(dropped))
    if (list.length === 0) store.delete(key)
    return 'OK'
  },
}

function push(store: MemoryStore, args: Arguments, side: 'head' | 'tail'): number {
  const key = args.text()
  const added = args.rest()
  const entry = store.typedOrNew(key, 'list', () => ({ type: 'list', items: [] }))
  store.grow(key, entry, bytesOf(added))
  const list = entry.value.items
  // One by one, as the server does: LPUSH of a and b leaves b first.
  if (side === 'head') list.unshift(...added.toReversed())
  else for (const item of added) list.push(item)
  return list.length
}

function pop(store: MemoryStore, args: Arguments, side: 'head' | 'tail'): Reply {
  const key = args.text()
  const count = args.left === 0 ? undefined : args.integer()
  args.end()
  if (count !== undefined && count < 0) throw refused('ERR value is out of range, must be positive')
  const entry = store.typed(key, 'list')
  if (entry === undefined) return null
  const list = entry.value.items
  const wanted = Math.min(count ?? 1, list.length)
  const taken = side === 'head' ? list.splice(0, wanted) : list.splice(list.length - wanted).toReversed()
  store.grow(key, entry, -bytesOf(taken))
  if (list.length === 0) store.delete(key)
  return count === undefined ? (taken[0] ?? null) : taken
}

const items = (store: MemoryStore, key: string): readonly string[] =>
  store.typed(key, 'list')?.value.items ?? []

/** Inclusive indexes that may count from the end, as a range for `slice`. */
export function range(length: number, start: number, stop: number): readonly [number, number] {
  const from = Math.max(start < 0 ? length + start : start, 0)
  const to = (stop < 0 ? length + stop : stop) + 1
  return to <= from ? [0, 0] : [Math.min(from, length), Math.min(to, length)]
}

const bytesOf = (list: readonly string[]): number =>
  list.reduce((total, item) => total + textBytes(item) + OVERHEAD_BYTES, 0)
