/** How dead letters are chosen from the command line, counted, and shown; those of jobs and of events alike. */
import type { Invocation, Terminal } from '../command.ts'
import { Misunderstood } from '../misunderstood.ts'
import { moment, plainLines, plural, printFacts } from './text.ts'

/** Most that one call of the API takes. */
export const ALL = 10_000

export interface DeadLetterView {
  readonly id: string
  readonly attempt: number
  readonly errors: readonly { readonly at: Date; readonly attempt: number; readonly error: string }[]
  readonly why: string
  readonly data: unknown
  readonly traceId: string | undefined
  readonly diedAt: Date
}

/** Whoever does something to all of them has to say so. */
export function needsYes(
  { switches }: Invocation,
  hasFilter: boolean,
  count: number,
  doing: string,
  filters: string,
): void {
  if (hasFilter || switches.has('yes') || switches.has('dry-run')) return
  const all = `all ${plural(count, 'dead letter')}`
  throw new Misunderstood(`this would ${doing} ${all}: say which by ${filters}, or confirm with --yes`)
}

/** The whole of it: what it carried, and how each attempt ended. */
export function printDeadLetter(
  letter: DeadLetterView,
  facts: readonly (readonly [string, string | undefined])[],
  now: Date,
  terminal: Terminal,
): void {
  printFacts(
    [
      ['id', letter.id],
      ...facts,
      ['died', moment(letter.diedAt, now)],
      ['attempts', String(letter.attempt)],
      ['trace', letter.traceId],
      ['why', letter.why],
    ],
    terminal,
  )
  printErrors(letter.errors, now, terminal)
  printBody(letter.data, terminal)
}

export function printErrors(errors: DeadLetterView['errors'], now: Date, terminal: Terminal): void {
  if (errors.length === 0) return
  terminal.out('errors:')
  for (const { at, attempt, error } of errors) {
    const lines = plainLines(error).split('\n')
    terminal.out(`  attempt ${attempt}, ${moment(at, now)}`)
    for (const line of lines) terminal.out(`    ${line}`)
  }
}

export function printBody(data: unknown, terminal: Terminal): void {
  if (data === undefined) return
  terminal.out('data:')
  for (const line of plainLines(JSON.stringify(data, undefined, 2)).split('\n')) terminal.out(`  ${line}`)
}
