/**
 * Forward-only migrations: what has run is written down in the database, in the transaction that ran it.
 *
 * Every process may call it at its start. A lock of the transaction lets one go first; the others wait, then find
 * nothing left to do. A process killed in the middle leaves the migration as if it had not begun.
 */
import { createHash } from 'node:crypto'
import { SluiceError } from '../../core/errors.ts'
import type { Migration, Transaction } from './api.ts'

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
  // Asked first, because `create table if not exists` wants the right to make tables also where it is there.
  const [there] = await tx.query<{ found: boolean }>(`select to_regclass('${TABLE}') is not null as found`)
  if (there?.found !== true)
    await tx.execute(
      `create table ${TABLE} (position int primary key, name text not null unique, checksum text, ran_at timestamptz not null default now())`,
    )
  const done = await tx.query<{ name: string; checksum: string | null }>(
    `select name, checksum from ${TABLE} order by position`,
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
  await tx.execute(`insert into ${TABLE} (position, name, checksum) values ($1, $2, $3)`, [
    done.length + 1,
    next.name,
    checksumOf(next),
  ])
  return next.name
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
