/** Runs one command on the in-memory store, at once: that is what makes every command atomic here. */
import { SluiceError } from '../../../core/errors.ts'
import type { Argument, Reply } from '../backend.ts'
import type { NativeContext, Script } from '../scripts/script.ts'
import { Arguments } from './arguments.ts'
import { KEY_COMMANDS } from './keys.ts'
import { HASH_COMMANDS } from './hashes.ts'
import { LIST_COMMANDS } from './lists.ts'
import { SET_COMMANDS } from './sets.ts'
import { SORTED_SET_COMMANDS } from './sorted-sets.ts'
import { STRING_COMMANDS } from './strings.ts'
import type { MemoryStore } from './store.ts'
import type { CommandFunction } from './table.ts'

const COMMANDS: ReadonlyMap<string, CommandFunction> = new Map(
  Object.entries({
    ...KEY_COMMANDS,
    ...STRING_COMMANDS,
    ...HASH_COMMANDS,
    ...LIST_COMMANDS,
    ...SET_COMMANDS,
    ...SORTED_SET_COMMANDS,
  }),
)

export class Interpreter {
  readonly #store: MemoryStore
  readonly #nowMs: () => number
  readonly #extra: ReadonlyMap<string, CommandFunction>

  /** `extra`: commands that need more than the store, such as PUBLISH. */
  constructor(store: MemoryStore, nowMs: () => number, extra: ReadonlyMap<string, CommandFunction>) {
    this.#store = store
    this.#nowMs = nowMs
    this.#extra = extra
  }

  execute(command: readonly Argument[]): Reply {
    const name = String(command[0]).toUpperCase()
    const run = COMMANDS.get(name) ?? this.#extra.get(name)
    if (run === undefined) {
      throw new SluiceError(
        'SLUICE_UNSUPPORTED',
        `redis in memory does not know the command ${name.slice(0, 32)}`,
        {
          hint: 'Set REDIS_ADDR to use a Redis server.',
        },
      )
    }
    return run(this.#store, new Arguments(name, command.slice(1)))
  }

  /** What a script of ours writes is pinned: evicting a lock or a session would break a promise. */
  runScript(script: Script, keys: readonly string[], args: readonly Argument[]): Reply {
    if (script.native === undefined) {
      throw new SluiceError(
        'SLUICE_UNSUPPORTED',
        `redis in memory cannot run the Lua script ${script.name}`,
        {
          hint: 'Set REDIS_ADDR to use a Redis server, or give the script a native function.',
        },
      )
    }
    const context: NativeContext = {
      call: (...parts) => this.execute(parts.map((part) => (typeof part === 'number' ? String(part) : part))),
      nowMs: this.#nowMs,
    }
    this.#store.pinning = true
    try {
      return script.native(context, keys, args.map(String))
    } finally {
      this.#store.pinning = false
    }
  }
}
