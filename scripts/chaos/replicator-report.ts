/** A chaos run of the replicator, for people. */
import { counts, formatLines, type Line } from './lines.ts'
import type { ReplicatorChaosReport } from './replicator.ts'

export function formatReplicatorReport(report: ReplicatorChaosReport): string {
  const { recoveryMs } = report
  const lines: readonly Line[] = [
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
  return formatLines('chaos: replicator', lines)
}

function list(texts: readonly string[]): string {
  return texts.length === 0 ? '0' : [`${texts.length}:`, ...texts.slice(0, 5)].join('\n      ')
}
