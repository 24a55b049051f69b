/** How what is stored is shown to people: times, tables, and texts that others wrote. */
import { columns } from '../columns.ts'
import type { Terminal } from '../command.ts'

const UNITS = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1_000],
] as const

/** In the largest unit of which there are two, or one: `45s`, `90m`, `3d`. */
export function span(ms: number): string {
  const [unit, size] = UNITS.find(([, each]) => ms >= 2 * each) ?? (['s', 1_000] as const)
  return `${Math.round(ms / size)}${unit}`
}

/** `3m ago (2026-01-31 12:00:05Z)`, by the database's clock. */
export function moment(time: Date | undefined, now: Date): string {
  if (time === undefined) return '-'
  const ms = now.getTime() - time.getTime()
  const relative = ms >= 0 ? `${span(ms)} ago` : `in ${span(-ms)}`
  return `${relative} (${time.toISOString().slice(0, 19).replace('T', ' ')}Z)`
}

/** One line that does nothing to the terminal: what is shown was written by whoever put it there. */
export function plain(text: string): string {
  return text.replaceAll(/\s+/g, ' ').replaceAll(/\p{C}/gu, visible)
}

/** As `plain`, with the lines left as they are. */
export function plainLines(text: string): string {
  return text.replaceAll(/(?!\n)\p{C}/gu, visible)
}

export function cut(text: string, width: number | undefined): string {
  return width === undefined || text.length <= width ? text : `${text.slice(0, Math.max(1, width - 1))}…`
}

/** Rows below a head, cut to the terminal. Says `none` where there is no row. */
export function printTable(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  none: string,
  terminal: Terminal,
): void {
  if (rows.length === 0) return terminal.out(none)
  const shown = rows.map((row) => row.map(plain))
  for (const line of columns([head, ...shown])) terminal.out(cut(line, terminal.width))
}

/** Facts, one a line, and nothing where there is none. */
export function printFacts(
  facts: readonly (readonly [string, string | undefined])[],
  terminal: Terminal,
): void {
  const rows = facts.flatMap(([name, value]) => (value === undefined ? [] : [[name, plain(value)]]))
  for (const line of columns(rows)) terminal.out(line)
}

/** One document; what is not there is null, so that each name is always there. */
export function printJson(document: object, terminal: Terminal): void {
  terminal.out(JSON.stringify(document, (_, value: unknown) => (value === undefined ? null : value), 2))
}

export function plural(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`
}

function visible(character: string): string {
  return `\\u${(character.codePointAt(0) ?? 0).toString(16).padStart(4, '0')}`
}
