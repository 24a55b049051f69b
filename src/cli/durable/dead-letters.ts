/** How dead letters are chosen from the command line, counted, and shown; those of jobs and of events alike. */
import { SluiceError } from '../../core/errors.ts'
import type { Invocation, Option, Terminal } from '../command.ts'
import { EXIT } from '../exit-codes.ts'
import { Misunderstood } from '../misunderstood.ts'
import { moment, plainLines, plural, printFacts, printJson } from './text.ts'

/** Most that one call of the API takes. */
export const ALL = 10_000

export const CANARY: Option = {
  name: 'canary',
  value: 'number',
  doc: 'so many first, the rest only when at most half of them fail again; default 20, 0 for all at once',
}
/** Canaries that no process runs are waited for no longer than this. */
const CANARY_LIMIT_MS = 600_000

/** Aborts, with what may be the matter, when the canaries have not run for long. */
export function canariesLimit(canary: number | undefined): AbortSignal {
  const controller = new AbortController()
  const error = new SluiceError(
    'SLUICE_TIMEOUT',
    `the first ${canary ?? 'few'} were put back, and had not run after ${CANARY_LIMIT_MS / 60_000} minutes`,
    { hint: 'Does a process with a handler for them run? With --canary 0 all are put back at once.' },
  )
  setTimeout(() => controller.abort(error), CANARY_LIMIT_MS).unref()
  return controller.signal
}

export function printRedriven(
  {
    redriven,
    stopped,
    left,
  }: { readonly redriven: number; readonly stopped: boolean; readonly left?: number },
  what: string,
  invocation: Invocation,
  terminal: Terminal,
): number {
  if (invocation.json) printJson({ redriven, stopped, ...(left === undefined ? {} : { left }) }, terminal)
  else {
    const others = left === undefined || left === 0 ? '' : `; ${left} more ${left === 1 ? 'is' : 'are'} left`
    terminal.out(`${plural(redriven, what)} put back${others}`)
  }
  if (!stopped) return EXIT.ok
  terminal.err('sluice: more than half of them failed again: the others stay dead')
  return EXIT.failure
}

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
