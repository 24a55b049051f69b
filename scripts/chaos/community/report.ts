/** A run of the community, for people: what the load said, and what came over the broker. */
import { formatLines, list, type Line } from '../lines.ts'
import { healingLines } from '../relay/report.ts'
import type { CommunityReport } from './run.ts'

export function formatCommunityReport(report: CommunityReport): string {
  const lines: readonly Line[] = [
    ['version', report.version],
    ['server', report.server],
    ['broker', report.broker],
    ['seed', String(report.seed)],
    ['seconds', String(report.seconds)],
    ['kills', String(report.kills)],
    ['events of the community', String(report.happened)],
    ['never heard of elsewhere', list(report.lost)],
    ['heard of twice', list(report.heardTwice)],
    ['heard of, and in no log', list(report.phantoms)],
    ['ended by themselves', list(report.crashes)],
    ['nothing arrived any more after', list(report.stuck)],
    ...healingLines(report.healings),
    ['as the database says it must be', report.code === 0 ? 'everything' : 'NOT everything'],
  ]
  return [
    ...(report.code === 0 ? [] : [report.complaints]),
    report.output.slice(Math.max(0, report.output.indexOf('what people did'))).trim(),
    '',
    formatLines(`chaos: community over ${report.transport}`, lines),
  ].join('\n')
}
