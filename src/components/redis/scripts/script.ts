/**
 * A script: one atomic unit that runs where the data is. On a server it is Lua; in memory it is the function `native`,
 * which must do the same to the same keys. A script without `native` is refused in memory with SLUICE_UNSUPPORTED.
 */
import { createHash } from 'node:crypto'
import type { Argument, Reply } from '../wire.ts'

/** What a native script works with: commands on the memory, and its clock, which stands for the server's. */
export interface NativeContext {
  /** Runs one command at once, as `redis.call` does in Lua. */
  call(...args: readonly (Argument | number)[]): Reply
  /** Milliseconds since 1970, with fractions. */
  nowMs(): number
}

export type NativeScript = (context: NativeContext, keys: readonly string[], args: readonly string[]) => Reply

export interface Script {
  /** Shown in metrics and errors. */
  readonly name: string
  readonly lua: string
  readonly sha1: string
  readonly native: NativeScript | undefined
}

/** Makes a script. Give `native` too where it shall also run in memory. */
export function defineScript(options: {
  readonly name: string
  readonly lua: string
  readonly native?: NativeScript
}): Script {
  return Object.freeze({
    name: options.name,
    lua: options.lua,
    // Redis names a script by its SHA-1; nothing here depends on its strength.
    sha1: createHash('sha1').update(options.lua).digest('hex'),
    native: options.native,
  })
}
