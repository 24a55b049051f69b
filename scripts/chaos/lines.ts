/** Reports for people: a heading, and a line for each thing that was counted. */

export type Line = readonly [name: string, value: string]

/** `after`: what is to be said behind them. */
export function formatLines(heading: string, lines: readonly Line[], after: readonly string[] = []): string {
  const width = Math.max(...lines.map(([name]) => name.length))
  return [heading, ...lines.map(([name, value]) => `  ${name.padEnd(width)}  ${value}`), ...after, ''].join(
    '\n',
  )
}

/** How many, and the first of them. */
export function list(names: readonly string[]): string {
  return names.length === 0 ? '0' : `${names.length}: ${names.slice(0, 5).join(', ')}`
}

export function counts(of: Readonly<Record<string, number>>): string {
  const named = Object.entries(of).toSorted(([a], [b]) => (a < b ? -1 : 1))
  return named.length === 0 ? 'none' : named.map(([name, count]) => `${name} ${count}`).join(', ')
}

/** Why a run shows nothing. */
export function provesNothing(reasons: readonly string[]): readonly string[] {
  return reasons.map((reason) => `  this run proves nothing: ${reason}`)
}
