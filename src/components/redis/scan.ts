/** Walks over the keys of a database, a few at a time. */
import type { Invoker } from './invoke.ts'
import { defineOperation, invalid } from './commands/command.ts'
import type { Command, Reply } from './backend.ts'
import type { CallOptions } from '../../telemetry/operate.ts'

export interface ScanOptions {
  /** A glob-style pattern: `user:*`. @default every key */
  readonly match?: string
  /** Only keys of this type, as `type` says it. @default any */
  readonly type?: string
  /** How many keys the server looks at in one go. @default 250 */
  readonly count?: number
}

const SCAN = defineOperation('scan', true)

/**
 * Keys, without the prefix, each at least once if it was there from start to end; one that comes or goes meanwhile may
 * be missing, and a key may come twice. Each step is an operation with a deadline of its own.
 */
export async function* scan(
  invoker: Invoker,
  options: ScanOptions,
  call: CallOptions | undefined,
): AsyncGenerator<string, void, undefined> {
  const { match = '*', type, count = 250 } = options
  if (!Number.isSafeInteger(count) || count < 1) {
    throw invalid(`scan count: expected a whole number of at least 1, got ${String(count)}`)
  }
  const prefix = invoker.key('')
  const pattern = prefix.replace(/[\\*?[\]]/g, '\\$&') + match
  let cursor = '0'
  do {
    const page = await invoker.send(scanFrom(cursor, pattern, count, type), call)
    for (const key of page.keys) yield key.slice(prefix.length)
    cursor = page.cursor
  } while (cursor !== '0')
}

function scanFrom(
  cursor: string,
  pattern: string,
  count: number,
  type: string | undefined,
): Command<{ readonly cursor: string; readonly keys: readonly string[] }> {
  return {
    spec: SCAN,
    args: [
      'SCAN',
      cursor,
      'MATCH',
      pattern,
      'COUNT',
      String(count),
      ...(type === undefined ? [] : ['TYPE', type]),
    ],
    parse: (reply) => {
      const [next, keys] = reply as readonly [Reply, readonly string[]]
      return { cursor: String(next), keys }
    },
  }
}
