/** How the database carries out the statements of the engine: which rows it reads, and by which index. */
import type { Postgres } from '../../src/components/postgres/index.ts'
import type { EngineDatabase } from '../../src/engine/database.ts'

/** A generic plan knows none of the values, a custom one all of them; PostgreSQL goes from one to the other by itself. */
export const PLAN_MODES = ['force_generic_plan', 'force_custom_plan'] as const

export interface Statement {
  readonly sql: string
  readonly values: readonly unknown[]
}

export interface Scan {
  readonly type: string
  readonly table: string
  /** Undefined where the table is walked as it lies. */
  readonly index: string | undefined
  /** Those that were looked at, also where they were not wanted then. */
  readonly rows: number
}

interface Node {
  readonly 'Node Type': string
  readonly 'Relation Name'?: string
  readonly 'Index Name'?: string
  readonly 'Actual Rows': number
  readonly 'Actual Loops': number
  readonly 'Rows Removed by Filter'?: number
  readonly 'Rows Removed by Index Recheck'?: number
  readonly Plans?: readonly Node[]
}

/** What a function of the engine sends, which is then not carried out. */
export async function statementOf(call: (db: EngineDatabase) => PromiseLike<unknown>): Promise<Statement> {
  let sent: Statement | undefined
  const keep = (sql: string, values: readonly unknown[]): Promise<[]> => {
    sent = { sql, values }
    return Promise.resolve([])
  }
  await call({ query: keep, queryOne: keep, execute: keep } as unknown as EngineDatabase)
  if (sent === undefined) throw new Error('nothing was sent')
  return sent
}

/** Carries the statement out, undoes it, and answers with each look at a table. */
export async function scansOf(
  db: Postgres,
  mode: (typeof PLAN_MODES)[number],
  { sql, values }: Statement,
): Promise<Scan[]> {
  return db.session(async (session) => {
    await session.script(`set plan_cache_mode = ${mode}; prepare probe as ${sql}`)
    await session.script('begin')
    try {
      const rows = await session.query<{ 'QUERY PLAN': readonly { readonly Plan: Node }[] }>(
        `explain (analyze, timing off, format json) execute probe(${values.map(literal).join()})`,
      )
      return rows.flatMap((row) => row['QUERY PLAN'].flatMap(({ Plan }) => scansIn(Plan)))
    } finally {
      await session.script('rollback')
    }
  })
}

function scansIn(node: Node): Scan[] {
  const below = (node.Plans ?? []).flatMap((each) => scansIn(each))
  const table = node['Relation Name']
  // What was found in an index as a bitmap is read by the node above.
  const index =
    node['Index Name'] ?? node.Plans?.find((each) => each['Index Name'] !== undefined)?.['Index Name']
  if (table === undefined || !node['Node Type'].endsWith('Scan')) return below
  const passed = (node['Rows Removed by Filter'] ?? 0) + (node['Rows Removed by Index Recheck'] ?? 0)
  const rows = (node['Actual Rows'] + passed) * node['Actual Loops']
  return [{ type: node['Node Type'], table, index, rows }, ...below]
}

function literal(value: unknown): string {
  if (value === null) return 'null'
  const text = Array.isArray(value)
    ? `{${value.map((each) => (each === null ? 'null' : JSON.stringify(String(each)))).join()}}`
    : `${value as string | number}`
  return `'${text.replaceAll("'", "''")}'`
}
