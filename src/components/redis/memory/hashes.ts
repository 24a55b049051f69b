/** Hashes of the in-memory backend. A hash without fields is no key. */
import type { Reply } from '../backend.ts'
import {
  formatFloat,
  notFloat,
  notInteger,
  parseFloatArgument,
  parseInteger,
  type Arguments,
} from './arguments.ts'
import { OVERHEAD_BYTES, refused, textBytes } from './entry.ts'
import type { EntryOf, MemoryStore } from './store.ts'
import type { CommandTable } from './table.ts'

export const HASH_COMMANDS: CommandTable = {
  HSET: (store, args) => {
    const key = args.text()
    if (args.left === 0 || args.left % 2 === 1) throw args.wrongNumber()
    const hash = hashOrNew(store, key)
    let added = 0
    while (args.left > 0) added += put(store, key, hash, args.text(), args.text())
    return added
  },
  HSETNX: (store, args) => {
    const key = args.text()
    const [field, text] = [args.text(), args.text()]
    args.end()
    if (store.typed(key, 'hash')?.value.fields.has(field) === true) return 0
    return put(store, key, hashOrNew(store, key), field, text)
  },
  HGET: (store, args) => {
    const fields = read(store, args)
    const field = args.text()
    args.end()
    return fields?.get(field) ?? null
  },
  HMGET: (store, args) => {
    const fields = read(store, args)
    return args.rest().map((field) => fields?.get(field) ?? null)
  },
  HGETALL: (store, args) => [...(whole(store, args) ?? [])].flat(),
  HKEYS: (store, args) => [...(whole(store, args)?.keys() ?? [])],
  HVALS: (store, args) => [...(whole(store, args)?.values() ?? [])],
  HLEN: (store, args) => whole(store, args)?.size ?? 0,
  HEXISTS: (store, args) => {
    const fields = read(store, args)
    return fields?.has(args.text()) === true ? 1 : 0
  },
  HDEL: (store, args) => {
    const key = args.text()
    const hash = store.typed(key, 'hash')
    const names = args.rest()
    if (hash === undefined) return 0
    const removed = names.filter((field) => remove(store, key, hash, field)).length
    if (hash.value.fields.size === 0) store.delete(key)
    return removed
  },
  HINCRBY: (store, args) => {
    const [key, field, by] = [args.text(), args.text(), args.integer()]
    args.end()
    const before = store.typed(key, 'hash')?.value.fields.get(field) ?? '0'
    if (!/^-?\d+$/.test(before)) throw refused('ERR hash value is not an integer')
    const after = parseInteger(before) + by
    if (!Number.isSafeInteger(after)) throw notInteger()
    put(store, key, hashOrNew(store, key), field, String(after))
    return after
  },
  HINCRBYFLOAT: (store, args) => {
    const [key, field, by] = [args.text(), args.text(), args.float()]
    args.end()
    const after = parseFloatArgument(store.typed(key, 'hash')?.value.fields.get(field) ?? '0') + by
    if (!Number.isFinite(after)) throw notFloat()
    put(store, key, hashOrNew(store, key), field, formatFloat(after))
    return formatFloat(after)
  },
}

type Hash = EntryOf<'hash'>

const hashOrNew = (store: MemoryStore, key: string): Hash =>
  store.typedOrNew(key, 'hash', () => ({ type: 'hash', fields: new Map() }))

function read(store: MemoryStore, args: Arguments): ReadonlyMap<string, string> | undefined {
  return store.typed(args.text(), 'hash')?.value.fields
}

function whole(store: MemoryStore, args: Arguments): ReadonlyMap<string, string> | undefined {
  const fields = read(store, args)
  args.end()
  return fields
}

/** 1 when the field is new. */
function put(store: MemoryStore, key: string, hash: Hash, field: string, text: string): Reply & number {
  const { fields } = hash.value
  const before = fields.get(field)
  const isNew = before === undefined
  store.grow(key, hash, isNew ? fieldBytes(field, text) : textBytes(text) - textBytes(before))
  fields.set(field, text)
  return isNew ? 1 : 0
}

function remove(store: MemoryStore, key: string, hash: Hash, field: string): boolean {
  const text = hash.value.fields.get(field)
  if (text === undefined) return false
  hash.value.fields.delete(field)
  store.grow(key, hash, -fieldBytes(field, text))
  return true
}

const fieldBytes = (field: string, text: string): number =>
  textBytes(field) + textBytes(text) + OVERHEAD_BYTES
