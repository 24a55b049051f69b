/** The statement for a filter: only what it names stands in it, so that the index for that is used. */
import { invalidArgument } from '../core/errors.ts'
import type { AuditFilter } from './api.ts'
import { COLUMNS } from './statements.ts'

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
  if (after !== undefined && !/^\d{1,18}$/.test(after))
    throw invalidArgument('audit: after', 'what `next` of the page before says', after)
  const params: unknown[] = []
  const conditions: string[] = []
  const where = (condition: string, value: unknown): void => {
    if (value === undefined) return
    params.push(value)
    conditions.push(condition.replace('?', `$${params.length}`))
  }
  where('actor = ?', actor)
  where('action = ?', action)
  where('subject = ?', subject)
  where('at >= ?::timestamptz', timeOf('from', from))
  where('at < ?::timestamptz', timeOf('to', to))
  where('(at, id) < (select at, id from sluice.audit where id = ?::bigint)', after)
  const condition = conditions.length === 0 ? '' : `where ${conditions.join(' and ')}`
  const sql = `select ${COLUMNS} from sluice.audit ${condition} order by at desc, audit.id desc limit ${limit + 1}`
  return { sql, params, limit }
}

function timeOf(what: string, time: Date | undefined): string | undefined {
  if (time === undefined) return undefined
  if (time instanceof Date && !Number.isNaN(time.getTime())) return time.toISOString()
  throw invalidArgument(`audit: ${what}`, 'a valid Date', String(time))
}
