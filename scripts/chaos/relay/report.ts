/** A run of the relay, for people. */
import { BROKER_FAULTS } from '../brokers/faults.ts'
import { percentiles, type Percentiles } from '../percentiles.ts'
import type { Healing } from '../brokers/breaking.ts'
import type { RelayReport } from './run.ts'

export function formatRelayReport(report: RelayReport): string {
  const lines: readonly (readonly [string, string])[] = [
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
  const width = Math.max(...lines.map(([name]) => name.length))
  return [
    `chaos: relay over ${report.transport}`,
    ...lines.map(([name, value]) => `  ${name.padEnd(width)}  ${value}`),
    ...report.invalid.map((reason) => `  this run proves nothing: ${reason}`),
    '',
  ].join('\n')
}

/** How often each, and how long until something arrived that was handed in after the broker was whole again. */
export function healingLines(healings: readonly Healing[]): readonly (readonly [string, string])[] {
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

function counts(of: Readonly<Record<string, number>>): string {
  const named = Object.entries(of).toSorted(([a], [b]) => (a < b ? -1 : 1))
  return named.length === 0 ? 'none' : named.map(([name, count]) => `${name} ${count}`).join(', ')
}

function list(names: readonly string[]): string {
  return names.length === 0 ? '0' : `${names.length}: ${names.slice(0, 5).join(', ')}`
}
