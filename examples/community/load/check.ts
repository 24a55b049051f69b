/** Compares what there is with what must be, all of it, as of one moment. */
import type { Database, Queryable } from 'sluice/postgres'
import { TRUTHS } from './truth.ts'

export interface Finding {
  readonly name: string
  /** Rows that there must be. */
  readonly rows: number
  readonly missing: number
  readonly wrong: number
  /** A few of those, as text. */
  readonly examples: readonly string[]
}

const TIMEOUT = '5m'

/** As of one moment: in a transaction that sees only that. */
export function checkAll(db: Database): Promise<readonly Finding[]> {
  return db.transaction((tx) => check(tx), { isolation: 'repeatable read', readOnly: true, timeout: TIMEOUT })
}

export async function check(tx: Queryable): Promise<readonly Finding[]> {
  const findings: Finding[] = []
  for (const { name, wanted, found } of TRUTHS) {
    // Rows as text, so that a count is one whatever its type.
    const counts = await tx.queryOne<Omit<Finding, 'name'>>(
      `with wanted as materialized (select (w.*)::text as row from (${wanted}) w),
         found as materialized (select (f.*)::text as row from (${found}) f),
         missing as (select row from wanted except all select row from found),
         wrong as (select row from found except all select row from wanted)
       select (select count(*) from wanted)::int as rows, (select count(*) from missing)::int as missing,
         (select count(*) from wrong)::int as wrong,
         array(select 'missing ' || row from missing limit 3) || array(select 'wrong ' || row from wrong limit 3) as examples`,
      [],
      { timeout: TIMEOUT },
    )
    if (counts === undefined) throw new Error(`"${name}" could not be compared`)
    findings.push({ name, ...counts })
  }
  return findings
}

export function isRight(findings: readonly Finding[]): boolean {
  return findings.every(({ missing, wrong }) => missing + wrong === 0)
}
