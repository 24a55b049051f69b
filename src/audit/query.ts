/** The statement for a filter: only what it names stands in it, so that the index for that is used. */
import { invalidArgument } from '../core/errors.ts'
import type { AuditFilter } from './api.ts'
import { COLUMNS } from './statements.ts'

/**
 * Where a record stands: microseconds since 1970 and its id. The time is part of it, for the record may be deleted before
 * the next page is asked for.
 */
const PLACE = `(extract(epoch from at) * 1000000)::bigint || '-' || id`

export interface FilterQuery {
  readonly sql: string
  readonly params: readonly unknown[]
  readonly limit: number
}

/** Asks for one record more than the page has. Throws SLUICE_INVALID_ARGUMENT. */
export function queryOf(filter: AuditFilter): FilterQuery {
  const { actor, action, subject, from, to, limit = 100, after } = filter
  if (!Number.isSafeInteger(limit) || limit < 1 || limit > 1_000)
    throw invalidArgument('audit: limit', 'a whole number from 1 to 1000', limit)
  const params: unknown[] = []
  const conditions: string[] = []
  const where = (condition: string, value: unknown): void => {
    if (value === undefined) return
    params.push(value)
    conditions.push(condition.replaceAll('?', () => `$${params.length}`))
  }
  where('actor = ?', actor)
  where('action = ?', action)
  where('subject = ?', subject)
  where('at >= ?::timestamptz', timeOf('from', from))
  where('at < ?::timestamptz', timeOf('to', to))
  where(`(at, id) < ${after === undefined ? '' : placeOf(after)}`, after)
  const condition = conditions.length === 0 ? '' : `where ${conditions.join(' and ')}`
  const sql = `select ${COLUMNS}, ${PLACE} as place from sluice.audit ${condition} order by at desc, audit.id desc limit ${limit + 1}`
  return { sql, params, limit }
}

function timeOf(what: string, time: Date | undefined): string | undefined {
  if (time === undefined) return undefined
  if (time instanceof Date && !Number.isNaN(time.getTime())) return time.toISOString()
  throw invalidArgument(`audit: ${what}`, 'a valid Date', String(time))
}

/** In SQL. The id alone is understood too, as pages of an older version name it, while its record is there. */
function placeOf(after: string): string {
  if (/^\d{1,18}$/.test(after)) return '(select at, id from sluice.audit where id = ?::bigint)'
  if (/^\d{1,18}-\d{1,18}$/.test(after)) {
    return `(timestamptz 'epoch' + split_part(?, '-', 1)::bigint * interval '1 microsecond', split_part(?, '-', 2)::bigint)`
  }
  throw invalidArgument('audit: after', 'what `next` of the page before says', after)
}
