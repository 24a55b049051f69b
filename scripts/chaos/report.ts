/** A run, for people. */
import { formatLines, list, provesNothing, type Line } from './lines.ts'
import type { Percentiles } from './percentiles.ts'
import type { RunReport } from './run.ts'

export function formatReport(report: RunReport): string {
  const { kill, freeze, stop } = report.taken
  const lines: readonly Line[] = [
    ['version', report.version],
    ['server', report.server],
    ['seed', String(report.seed)],
    ['seconds', `${report.seconds}, of which with faults ${report.secondsOfFaults}`],
    ['kills', String(report.kills)],
    ['freezes', String(report.freezes)],
    ['stops', String(report.stops)],
    ['handed in', String(report.attempted)],
    ['acknowledged', String(report.acked)],
    ['unknown', String(report.unknown)],
    ['handlers begun', String(report.starts)],
    ['begun again', String(report.repeatedStarts)],
    ['lost', list(report.lost)],
    ['run though rolled back', list(report.phantoms)],
    ['effects in transactions done twice', list(report.duplicateEffects)],
    ['order of a key broken', list(report.inversions)],
    ['dead letters', String(report.dead)],
    ['ended by themselves', list(report.crashes)],
    ['kill: tasks free', times(kill.tasks.free)],
    ['kill: tasks another’s', times(kill.tasks.claimed)],
    ['kill: shards another’s', times(kill.shards.claimed)],
    ['kill: begun again, backlog included', times(report.recovery)],
    ['freeze: tasks free', times(freeze.tasks.free)],
    ['freeze: tasks another’s', times(freeze.tasks.claimed)],
    ['freeze: shards another’s', times(freeze.shards.claimed)],
    ['freeze: begun again, backlog included', times(report.recoveryFrozen)],
    ['stop: given-back tasks another’s', times(stop.tasks.claimed)],
    ['stop: given-back shards another’s', times(stop.shards.claimed)],
    ['stop: begun again, backlog included', times(report.recoveryReleased)],
    [
      'ends',
      Object.entries(report.exits)
        .map(([how, count]) => `${how} ${count}`)
        .join(', '),
    ],
  ]
  return formatLines(`chaos: ${report.scenario}`, lines, provesNothing(report.invalid))
}

function times({ count, p50, p99, max }: Percentiles): string {
  return count === 0 ? 'none' : `p50 ${p50} ms, p99 ${p99} ms, max ${max} ms (${count})`
}
