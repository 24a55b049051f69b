/** Commands of the in-memory backend on keys of any type, and on the connection. */
import type { Reply } from '../backend.ts'
import { syntaxError, type Arguments } from './arguments.ts'
import { refused } from './entry.ts'
import { globToRegExp } from './glob.ts'
import type { MemoryStore } from './store.ts'
import type { CommandTable } from './table.ts'

export const KEY_COMMANDS: CommandTable = {
  PING: (_store, args) => (args.left === 0 ? 'PONG' : args.raw()),
  ECHO: (_store, args) => args.raw(),
  DEL: removeAll,
  UNLINK: removeAll,
  EXISTS: (store, args) => args.rest().filter((key) => store.get(key) !== undefined).length,
  TYPE: (store, args) => store.get(args.text())?.value.type ?? 'none',
  EXPIRE: (store, args) => expire(store, args, 1_000),
  PEXPIRE: (store, args) => expire(store, args, 1),
  PERSIST: (store, args) => {
    const entry = store.get(args.text())
    if (entry === undefined || entry.expiresAt === Infinity) return 0
    entry.expiresAt = Infinity
    return 1
  },
  TTL: (store, args) => {
    const left = timeLeft(store, args)
    return left < 0 ? left : Math.round(left / 1_000)
  },
  PTTL: (store, args) => {
    const left = timeLeft(store, args)
    return left < 0 ? left : Math.ceil(left)
  },
  RENAME: (store, args) => {
    const from = args.text()
    const to = args.text()
    const entry = store.get(from)
    if (entry === undefined) throw refused('ERR no such key')
    if (from !== to) store.rename(from, to, entry)
    return 'OK'
  },
  DBSIZE: (store) => [...store.keys()].length,
  FLUSHDB: (store) => {
    store.clear()
    return 'OK'
  },
  SCAN: scan,
}

function removeAll(store: MemoryStore, args: Arguments): number {
  return args.rest().filter((key) => store.delete(key)).length
}

function expire(store: MemoryStore, args: Arguments, unitMs: number): number {
  const key = args.text()
  const ms = args.integer() * unitMs
  const options = new Set(args.rest(0).map((word) => word.toUpperCase()))
  for (const option of options) {
    if (!['NX', 'XX', 'GT', 'LT'].includes(option)) throw refused(`ERR Unsupported option ${option}`)
  }
  const entry = store.get(key)
  if (entry === undefined) return 0
  const expiresAt = store.now() + ms
  const lasting = entry.expiresAt === Infinity
  if (options.has('NX') && !lasting) return 0
  if (options.has('XX') && lasting) return 0
  if (options.has('GT') && expiresAt <= entry.expiresAt) return 0
  if (options.has('LT') && expiresAt >= entry.expiresAt) return 0
  if (ms <= 0) store.delete(key)
  else entry.expiresAt = expiresAt
  return 1
}

/** Milliseconds left; -1 for a key that lasts, -2 for none, as the server says it. */
function timeLeft(store: MemoryStore, args: Arguments): number {
  const entry = store.get(args.text())
  args.end()
  if (entry === undefined) return -2
  return entry.expiresAt === Infinity ? -1 : entry.expiresAt - store.now()
}

/** COUNT is a hint, and a cursor of 0 ends the scan: here the first reply holds everything. */
function scan(store: MemoryStore, args: Arguments): Reply {
  args.text()
  let pattern: RegExp | undefined
  let type: string | undefined
  while (args.left > 0) {
    const option = args.word()
    if (option === 'MATCH') pattern = globToRegExp(args.text())
    else if (option === 'COUNT') args.integer()
    else if (option === 'TYPE') type = args.text().toLowerCase()
    else throw syntaxError()
  }
  const found: string[] = []
  for (const [key, entry] of store.keys()) {
    if (pattern !== undefined && !pattern.test(key)) continue
    if (type === undefined || entry.value.type === type) found.push(key)
  }
  return ['0', found]
}
