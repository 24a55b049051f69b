/** A chaos run of the replicator, for people. */
import type { ReplicatorChaosReport } from './replicator.ts'

export function formatReplicatorReport(report: ReplicatorChaosReport): string {
  const { recoveryMs } = report
  const lines: readonly (readonly [string, string])[] = [
    ['seeds', `${report.seed} to ${report.seed + report.rounds - 1}`],
    ['seconds', String(report.seconds)],
    ['messages', String(report.messages)],
    ['kills', String(report.kills)],
    ['of these by themselves', counts(report.moments)],
    ['freezes', String(report.freezes)],
    ['stops', String(report.stops)],
    ['faults of store and source', counts(report.faults)],
    ['keys compared', String(report.compared)],
    ['wrong', list(report.wrong)],
    ['counters that do not add up', list(report.miscounted)],
    ['rounds without rest', list(report.restless)],
    ['ended by themselves', list(report.crashes)],
    ['until all was stored', `p50 ${recoveryMs.p50} ms, p99 ${recoveryMs.p99} ms, max ${recoveryMs.max} ms`],
  ]
  const width = Math.max(...lines.map(([name]) => name.length))
  return ['chaos: replicator', ...lines.map(([name, value]) => `  ${name.padEnd(width)}  ${value}`), ''].join(
    '\n',
  )
}

function counts(of: Readonly<Record<string, number>>): string {
  const named = Object.entries(of).sort(([a], [b]) => (a < b ? -1 : 1))
  return named.length === 0 ? 'none' : named.map(([name, count]) => `${name} ${count}`).join(', ')
}

function list(texts: readonly string[]): string {
  return texts.length === 0 ? '0' : [`${texts.length}:`, ...texts.slice(0, 5)].join('\n      ')
}
