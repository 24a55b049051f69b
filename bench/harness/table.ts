/** Prints a report for people. */
import type { Report } from './benchmark.ts'

export function formatReport(report: Report): string {
  const settings = Object.entries(report.settings).map(([name, value]) => `${name} ${value}`)
  const versions = Object.entries(report.versions).map(([name, version]) => `${name} ${version}`)
  const width = Math.max(
    ...report.rows.map((row) => row.subject.length),
    ...Object.keys(report.ratios).map((n) => n.length),
  )
  const rows = report.rows.map(
    (row) => `  ${row.subject.padEnd(width)}  ${formatNumber(row.value)} ${row.unit}`,
  )
  const ratios = Object.entries(report.ratios).map(
    ([name, value]) => `  ${name.padEnd(width)}  ${formatNumber(value)}`,
  )
  return [
    report.name,
    `  ${settings.join(', ')}`,
    `  ${versions.join(', ')}`,
    '',
    ...rows,
    '',
    ...ratios,
    '',
  ].join('\n')
}

function formatNumber(value: number): string {
  return value.toLocaleString('en-US', { maximumSignificantDigits: 4 }).padStart(10)
}
