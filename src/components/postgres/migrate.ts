/**
 * Forward-only migrations: what has run is written down in the database, in the transaction that ran it.
 *
 * Every process may call it at its start. A lock of the transaction lets one go first; the others wait, then find
 * nothing left to do. A process killed in the middle leaves the migration as if it had not begun.
 */
import { createHash } from 'node:crypto'
import { SluiceError } from '../../core/errors.ts'
import type { Migration, Transaction } from './api.ts'
import { quoteName } from './identifier.ts'

/** Chosen at random, once: the key of the lock, the same in every version. */
const LOCK = 7_310_514_286_420_935
const TABLE = 'sluice_migrations'

export interface MigrateHost {
  readonly component: string
  transaction<T>(fn: (tx: Transaction) => Promise<T>): PromiseLike<T>
  /** A migration begins; undefined while it is looked for, which may mean to wait for another process. */
  onRun?(name: string | undefined): void
}

export async function migrate(
  host: MigrateHost,
  migrations: readonly Migration[],
): Promise<readonly string[]> {
  refuseDoubles(migrations)
  const ran: string[] = []
  for (;;) {
    const name = await host.transaction((tx) => runNext(host, tx, migrations))
    if (name === undefined) return ran
    ran.push(name)
  }
}

/** Runs the first migration that has not run. Undefined when all have. */
async function runNext(
  host: MigrateHost,
  tx: Transaction,
  migrations: readonly Migration[],
): Promise<string | undefined> {
  const { component } = host
  host.onRun?.(undefined)
  await tx.query('select pg_advisory_xact_lock($1)', [LOCK])
  const table = await tableOf(tx)
  const done = await tx.query<{ name: string; checksum: string | null }>(
    `select name, checksum from ${table} order by position`,
  )
  for (const [position, { name, checksum }] of done.entries()) {
    const migration = migrations[position]
    if (migration?.name !== name)
      throw changed(component, name, `is not number ${position + 1} of the list any more`)
    const now = checksumOf(migration)
    if (now !== null && checksum !== null && now !== checksum)
      throw changed(component, name, 'was changed since')
  }
  const next = migrations[done.length]
  if (next === undefined) return undefined
  host.onRun?.(next.name)
  if (typeof next.up === 'string') await tx.script(next.up)
  else await next.up(tx)
  await tx.execute(`insert into ${table} (position, name, checksum) values ($1, $2, $3)`, [
    done.length + 1,
    next.name,
    checksumOf(next),
  ])
  return next.name
}

/**
 * The table of what has run, made where there is none. With its schema: a migration may set another search_path, as each
 * dump of pg_dump does, and what it ran is written down behind it.
 */
async function tableOf(tx: Transaction): Promise<string> {
  const [place] = await tx.query<{ found: boolean; schema: string | null }>(
    `select t.oid is not null as found, coalesce(n.nspname::text, current_schema()::text) as schema
     from (select to_regclass('${TABLE}')::oid as oid) t
     left join pg_class c on c.oid = t.oid left join pg_namespace n on n.oid = c.relnamespace`,
  )
  // Without one the server says that there is no schema to make it in.
  const schema = place?.schema ?? undefined
  const table = schema === undefined ? TABLE : `${quoteName(schema, 'schema')}.${TABLE}`
  // Asked first, because `create table if not exists` wants the right to make tables also where it is there.
  if (place?.found !== true)
    await tx.execute(
      `create table ${table} (position int primary key, name text not null unique, checksum text, ran_at timestamptz not null default now())`,
    )
  return table
}

function checksumOf({ up }: Migration): string | null {
  return typeof up === 'string' ? createHash('sha256').update(up).digest('hex') : null
}

function refuseDoubles(migrations: readonly Migration[]): void {
  const names = new Set<string>()
  for (const [index, { name }] of migrations.entries()) {
    if (typeof name !== 'string' || name === '' || names.has(name)) {
      throw new SluiceError(
        'SLUICE_INVALID_ARGUMENT',
        `migrations[${index}].name: expected a name that no other has, got ${JSON.stringify(name)}`,
      )
    }
    names.add(name)
  }
}

function changed(component: string, name: string, how: string): SluiceError {
  return new SluiceError(
    'SLUICE_CONFLICT',
    `${component}: the migration ${JSON.stringify(name)} ran before and ${how}`,
    {
      component,
      operation: 'migrate',
      hint: 'Leave what has run as it is, and add a new migration at the end.',
    },
  )
}
