/** What a run was like, in tables. */
import type { Finding } from './check.ts'
import type { Crew } from './crew.ts'
import type { Done } from './drive.ts'
import type { SampleSet } from './samples.ts'

export interface Run {
  readonly done: Done
  readonly crew: Crew
  readonly most: { readonly events: number; readonly oldestMs: number }
  readonly settleSeconds: number
  readonly findings: readonly Finding[]
}

export function report({ done, crew, most, settleSeconds, findings }: Run): string {
  const actions = done.answered.all.reduce((sum, [, samples]) => sum + samples.count, 0)
  return [
    table(
      ['what people did', 'answered', 'a second', 'p50 ms', 'p99 ms', 'refused', 'failed', 'lost'],
      [
        ...done.answered.all
          .toSorted(([a], [b]) => a.localeCompare(b))
          .map(([kind, samples]) => [
            kind,
            String(samples.count),
            (samples.count / done.seconds).toFixed(1),
            ...percentiles(samples),
            ...[done.refused, done.failed, done.lost].map((counts) => String(counts[kind] ?? 0)),
          ]),
        [
          'together',
          String(actions),
          (actions / done.seconds).toFixed(1),
          '',
          '',
          ...[done.refused, done.failed, done.lost].map(total),
        ],
      ],
    ),
    table(['what followed', 'events', 'p50 ms', 'p99 ms'], delayRows(crew.delays)),
    table(
      ['process', 'MB at first', 'at most', 'at last'],
      [...crew.memory].map(([url, { first, most: peak, last }]) => [
        url,
        ...[first, peak, last].map(megabytes),
      ]),
    ),
    `at most ${most.events} events and ${Math.round(most.oldestMs)} ms behind, nothing left ${settleSeconds.toFixed(1)} s after the end, processes killed: ${crew.kills}`,
    table(
      ['as the database says it must be', 'rows', 'missing', 'wrong'],
      findings.map(({ name, rows, missing, wrong }) => [name, ...[rows, missing, wrong].map(String)]),
    ),
    findings.flatMap(({ name, examples }) => examples.map((example) => `${name}: ${example}`)).join('\n'),
  ]
    .filter((part) => part !== '')
    .join('\n\n')
}

function delayRows(delays: SampleSet): string[][] {
  return delays.all.map(([name, samples]) => [name, String(samples.count), ...percentiles(samples)])
}

function percentiles(samples: { percentile(share: number): number }): string[] {
  return [0.5, 0.99].map((share) => samples.percentile(share).toFixed(0))
}

function total(counts: Readonly<Record<string, number>>): string {
  return String(Object.values(counts).reduce((sum, count) => sum + count, 0))
}

function megabytes(bytes: number): string {
  return (bytes / 1_048_576).toFixed(0)
}

/** The first column to the left, the others to the right. */
function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => (row[column] ?? '').length)),
  )
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, column) =>
        column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0),
      )
      .join('  ')
      .trimEnd()
  return [line(head), widths.map((width) => '-'.repeat(width)).join('  '), ...rows.map(line)].join('\n')
}
