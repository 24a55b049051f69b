/**
 * Brings the engine's tables to this version, in one transaction under a lock: two processes may start at once, and one
 * killed in the middle leaves them as they were. A schema that is newer than this code is refused, never touched.
 */
import { SluiceError } from '../core/errors.ts'
import type { EngineDatabase, Transaction } from './database.ts'
import { MIGRATE_LOCK } from './locks.ts'
import { SCHEMA_V1, SCHEMA_VERSION } from './schema.ts'

/** What each version adds to the one before; never changed once it has been published. */
const STEPS: readonly string[] = [SCHEMA_V1]

export interface Migrated {
  /** Version found before; 0 where there was none. */
  readonly from: number
  readonly to: number
}

/** Rejects with SLUICE_CONFLICT where a newer version of sluice has been here. */
export async function migrateEngine(db: EngineDatabase, signal?: AbortSignal): Promise<Migrated> {
  const before = await readVersion(db)
  refuseNewer(db.name, before)
  if (before === SCHEMA_VERSION) return { from: before, to: before }
  return db.transaction(
    async (tx) => {
      await tx.query('select pg_advisory_xact_lock($1)', [MIGRATE_LOCK])
      const from = await readVersion(tx)
      refuseNewer(db.name, from)
      await ownSchema(tx)
      for (const step of STEPS.slice(from)) await tx.script(step)
      await writeMeta(tx)
      return { from, to: SCHEMA_VERSION }
    },
    { label: 'sluice.migrate', timeout: '60s', ...(signal === undefined ? {} : { signal }) },
  )
}

/**
 * The schema is made where there is none, and what is made in it belongs to whoever it belongs to: the app's own role,
 * which later makes and drops partitions, also where another one, or a superuser, migrates.
 */
async function ownSchema(tx: Transaction): Promise<void> {
  // Of `create schema if not exists` the right to make schemas is asked also where there is one.
  const there = await tx.queryOne<{ found: boolean }>(`select to_regnamespace('sluice') is not null as found`)
  if (there?.found !== true) await tx.execute('create schema sluice')
  await tx.query(
    `select set_config('role', r.rolname, true) from pg_namespace n join pg_roles r on r.oid = n.nspowner
     where n.nspname = 'sluice' and r.rolname <> current_user and pg_has_role(current_user, r.oid, 'member')`,
  )
}

/** 0 where the tables are not there. */
export async function readVersion(db: Pick<Transaction, 'queryOne'>): Promise<number> {
  const there = await db.queryOne<{ found: boolean }>(
    `select to_regclass('sluice.meta') is not null as found`,
  )
  if (there?.found !== true) return 0
  const row = await db.queryOne<{ v: string }>(`select v from sluice.meta where k = 'version'`)
  return Number(row?.v ?? 0)
}

async function writeMeta(tx: Transaction): Promise<void> {
  await tx.execute(
    `insert into sluice.meta (k, v) values ('version', $1),
       ('system', (select system_identifier::text from pg_control_system()))
     on conflict (k) do update set v = excluded.v where sluice.meta.k = 'version'`,
    [String(SCHEMA_VERSION)],
  )
}

function refuseNewer(component: string, version: number): void {
  if (version <= SCHEMA_VERSION) return
  throw new SluiceError(
    'SLUICE_CONFLICT',
    `${component}: the tables of sluice are of version ${version}, newer than this program, which knows ${SCHEMA_VERSION}`,
    {
      component,
      operation: 'migrate',
      hint: 'Run the newer version of sluice, or restore a backup from before it migrated.',
    },
  )
}
