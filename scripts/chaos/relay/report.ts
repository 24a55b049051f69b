/** A run of the relay, for people. */
import { BROKER_FAULTS } from '../brokers/faults.ts'
import { counts, formatLines, list, provesNothing, type Line } from '../lines.ts'
import { percentiles, type Percentiles } from '../percentiles.ts'
import type { Healing } from '../brokers/breaking.ts'
import type { RelayReport } from './run.ts'

export function formatRelayReport(report: RelayReport): string {
  const lines: readonly Line[] = [
    ['version', report.version],
    ['server', report.server],
    ['broker', report.broker],
    ['seed', String(report.seed)],
    ['seconds', String(report.seconds)],
    ['kills', String(report.kills)],
    ['of these by themselves', counts(report.moments)],
    ['freezes', String(report.freezes)],
    ['stops', String(report.stops)],
    ['handed in', String(report.attempted)],
    ['acknowledged', String(report.acked)],
    ['unknown', String(report.unknown)],
    ['handlers begun', String(report.starts)],
    ['begun again', String(report.repeatedStarts)],
    ['lost', list(report.lost)],
    ['run though rolled back', list(report.phantoms)],
    ['twice in the log of the reader', list(report.writtenTwice)],
    ['effects in transactions done twice', list(report.duplicateEffects)],
    ['order of a key broken', list(report.inversions)],
    ['dead letters', String(report.dead)],
    ['ended by themselves', list(report.crashes)],
    ['nothing arrived any more after', list(report.stuck)],
    ...healingLines(report.healings),
    ['ends', counts(report.exits)],
  ]
  return formatLines(`chaos: relay over ${report.transport}`, lines, provesNothing(report.invalid))
}

/** How often each, and how long until something arrived that was handed in after the broker was whole again. */
export function healingLines(healings: readonly Healing[]): readonly Line[] {
  return BROKER_FAULTS.map((fault) => {
    const times = healings.filter((each) => each.fault === fault).map(({ ms }) => ms)
    return [`broker: ${NAMES[fault]}`, timesOf(percentiles(times))] as const
  })
}

const NAMES = {
  kill: 'killed',
  restart: 'restarted',
  freeze: 'frozen',
  cut: 'connections cut',
  silence: 'network silent',
  unanswered: 'answers lost',
} as const

function timesOf({ count, p50, p99, max }: Percentiles): string {
  return count === 0
    ? 'never'
    : `${count}, on its way again after p50 ${p50} ms, p99 ${p99} ms, max ${max} ms`
}
