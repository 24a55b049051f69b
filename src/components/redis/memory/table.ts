/** What the tables of commands are made of. */
import type { Reply } from '../backend.ts'
import type { Arguments } from './arguments.ts'
import type { MemoryStore } from './store.ts'

export type CommandFunction = (store: MemoryStore, args: Arguments) => Reply
export type CommandTable = Readonly<Record<string, CommandFunction>>
