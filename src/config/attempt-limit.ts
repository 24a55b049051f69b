/**
 * Two limits of one thing: opening a connection (`dial_timeout`, `connect_timeout` of the component) happens within an
 * attempt to connect (`infrastructure.timeouts.<name>`), which ends it. Where both were set, the longer one is a mistake;
 * where only the inner one was, it is told that the default of the outer one ends it first.
 */
import { formatExactly } from './fields.ts'
import type { Problem } from './problem.ts'
import type { Entry } from './resolve.ts'
import { yamlKey } from './section.ts'

const OPENING = ['dialTimeout', 'connectTimeout'] as const

export interface AttemptLimit {
  /** Of the component, as the app calls it. */
  readonly name: string
  readonly values: Readonly<Record<string, unknown>>
  readonly connectTimeoutMs: number
  /** Of both sections. */
  readonly entries: readonly Entry[]
}

export function checkAttemptLimit(
  { name, values, connectTimeoutMs, entries }: AttemptLimit,
  book: { readonly problems: Problem[]; readonly warnings: string[] },
): void {
  const sourceOf = (path: string): string => entries.find((entry) => entry.path === path)?.source ?? 'default'
  const attempt = `infrastructure.timeouts.${name}`
  for (const field of OPENING) {
    const ms = values[field]
    if (typeof ms !== 'number' || ms <= connectTimeoutMs) continue
    const path = `${name}.${yamlKey(field)}`
    const source = sourceOf(path)
    if (source === 'default') continue
    const limit = `at most ${attempt} (${formatExactly(connectTimeoutMs)}), the limit of the whole attempt`
    const got = formatExactly(ms)
    if (sourceOf(attempt) === 'default')
      book.warnings.push(
        `${source} (${path}): ${got} is never reached, expected ${limit}; raise that as well`,
      )
    else book.problems.push({ path, source, expected: limit, got })
  }
}
