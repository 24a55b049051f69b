/** Sets of the in-memory backend. A set without members is no key. */
import { OVERHEAD_BYTES, textBytes } from './entry.ts'
import type { MemoryStore } from './store.ts'
import type { CommandTable } from './table.ts'

export const SET_COMMANDS: CommandTable = {
  SADD: (store, args) => {
    const key = args.text()
    const added = args.rest()
    const entry = store.typedOrNew(key, 'set', () => ({ type: 'set', members: new Set() }))
    const { members } = entry.value
    const before = members.size
    for (const member of added) {
      if (members.has(member)) continue
      store.grow(key, entry, memberBytes(member))
      members.add(member)
    }
    return members.size - before
  },
  SREM: (store, args) => {
    const key = args.text()
    const removed = args.rest()
    const entry = store.typed(key, 'set')
    if (entry === undefined) return 0
    let count = 0
    for (const member of removed) {
      if (!entry.value.members.delete(member)) continue
      store.grow(key, entry, -memberBytes(member))
      count += 1
    }
    if (entry.value.members.size === 0) store.delete(key)
    return count
  },
  SMEMBERS: (store, args) => {
    const members = read(store, args.text())
    args.end()
    return [...members]
  },
  SISMEMBER: (store, args) => {
    const members = read(store, args.text())
    return members.has(args.text()) ? 1 : 0
  },
  SCARD: (store, args) => {
    const members = read(store, args.text())
    args.end()
    return members.size
  },
}

const read = (store: MemoryStore, key: string): ReadonlySet<string> =>
  store.typed(key, 'set')?.value.members ?? new Set()

const memberBytes = (member: string): number => textBytes(member) + OVERHEAD_BYTES
