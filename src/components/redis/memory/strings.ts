/** Strings and counters of the in-memory backend. */
import type { Argument, Reply } from '../backend.ts'
import {
  formatFloat,
  notFloat,
  notInteger,
  parseFloatArgument,
  parseInteger,
  syntaxError,
} from './arguments.ts'
import type { Arguments } from './arguments.ts'
import { refused, textBytes, type Entry } from './entry.ts'
import type { MemoryStore } from './store.ts'
import type { CommandTable } from './table.ts'

export const STRING_COMMANDS: CommandTable = {
  GET: (store, args) => only(args, read(store, args.text())),
  GETDEL: (store, args) => {
    const key = args.text()
    const value = only(args, read(store, key))
    store.delete(key)
    return value
  },
  STRLEN: (store, args) => {
    const value = only(args, read(store, args.text()))
    return value === null ? 0 : Buffer.byteLength(value as Argument)
  },
  MGET: (store, args) =>
    args.rest().map((key) => {
      const entry = store.get(key)
      return entry?.value.type === 'string' ? entry.value.text : null
    }),
  MSET: (store, args) => {
    if (args.left === 0 || args.left % 2 === 1) throw args.wrongNumber()
    while (args.left > 0) write(store, args.text(), wellFormed(args.raw()))
    return 'OK'
  },
  SET: set,
  APPEND: (store, args) => {
    const key = args.text()
    const added = args.raw()
    args.end()
    const entry = store.typed(key, 'string')
    const text = entry === undefined ? wellFormed(added) : joined(entry.value.text, added)
    write(store, key, text, entry?.expiresAt)
    return Buffer.byteLength(text)
  },
  INCR: (store, args) => increment(store, args.text(), 1, args),
  DECR: (store, args) => increment(store, args.text(), -1, args),
  INCRBY: (store, args) => increment(store, args.text(), args.integer(), args),
  DECRBY: (store, args) => increment(store, args.text(), -args.integer(), args),
  INCRBYFLOAT: (store, args) => {
    const key = args.text()
    const by = args.float()
    args.end()
    const entry = store.typed(key, 'string')
    const before = entry === undefined ? 0 : parseFloatArgument(String(entry.value.text))
    const after = before + by
    if (!Number.isFinite(after)) throw notFloat()
    const text = formatFloat(after)
    write(store, key, text, entry?.expiresAt)
    return text
  },
}

function set(store: MemoryStore, args: Arguments): Reply {
  const key = args.text()
  const text = wellFormed(args.raw())
  let expiresAt: number | undefined
  let when: 'NX' | 'XX' | undefined
  let keepTtl = false
  let wantsOld = false
  while (args.left > 0) {
    const option = args.word()
    if ((option === 'NX' || option === 'XX') && when === undefined) when = option
    else if (option === 'GET') wantsOld = true
    else if (option === 'KEEPTTL' && expiresAt === undefined) keepTtl = true
    else if ((option === 'EX' || option === 'PX') && expiresAt === undefined && !keepTtl) {
      const amount = args.integer()
      if (amount <= 0) throw refused("ERR invalid expire time in 'set' command")
      expiresAt = store.now() + amount * (option === 'EX' ? 1_000 : 1)
    } else throw syntaxError()
  }
  const before: Entry | undefined = store.get(key)
  const old = wantsOld ? read(store, key) : null
  if ((when === 'NX' && before !== undefined) || (when === 'XX' && before === undefined)) return old
  write(store, key, text, keepTtl ? before?.expiresAt : expiresAt)
  return wantsOld ? old : 'OK'
}

function read(store: MemoryStore, key: string): Argument | null {
  return store.typed(key, 'string')?.value.text ?? null
}

function write(store: MemoryStore, key: string, text: Argument, expiresAt = Infinity): void {
  store.put(key, { type: 'string', text }, textBytes(text), expiresAt)
}

function increment(store: MemoryStore, key: string, by: number, args: Arguments): number {
  args.end()
  const entry = store.typed(key, 'string')
  const after = (entry === undefined ? 0 : parseInteger(String(entry.value.text))) + by
  if (!Number.isSafeInteger(after)) throw notInteger()
  write(store, key, String(after), entry?.expiresAt)
  return after
}

/** Text goes over the wire as UTF-8, where a lone surrogate becomes U+FFFD; a copy keeps bytes the store's own. */
function wellFormed(value: Argument): Argument {
  if (typeof value !== 'string') return Buffer.from(value)
  return value.isWellFormed() ? value : value.toWellFormed()
}

function joined(first: Argument, second: Argument): Argument {
  if (typeof first === 'string' && typeof second === 'string') return first + (wellFormed(second) as string)
  return Buffer.concat([Buffer.from(first as string), Buffer.from(second as string)])
}

function only<T>(args: Arguments, value: T): T {
  args.end()
  return value
}
