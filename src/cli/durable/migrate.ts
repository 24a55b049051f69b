/** `sluice migrate`: the engine's tables, then the app's own migrations; `--check` only says what is pending. */
import type { Migration } from '../../components/postgres/api.ts'
import type { Command, Invocation, Terminal } from '../command.ts'
import { EXIT } from '../exit-codes.ts'
import { openDatabase, type OpenDatabase } from './open.ts'
import { DATABASE_EXITS, DATABASE_OPTIONS } from './options.ts'
import { printJson } from './text.ts'

/** Long enough for an index on a large table. */
const LIMIT = '24h'

export const migrateCommand: Command = {
  name: 'migrate',
  parameters: '[file]',
  summary: 'bring the tables of sluice and those of the app up to date',
  detail:
    "Brings the tables of jobs, events, cron and audit to this version of the package, then runs the app's own\n" +
    '`postgres({ migrations })` that have not run. Apps do both at their start, too; here it has no limit of time, and no\n' +
    'traffic waits. Without a program: the tables of sluice alone.',
  options: [
    ...DATABASE_OPTIONS,
    { name: 'check', doc: 'change nothing; end with 1 when something is pending' },
  ],
  fileRequired: false,
  passesRest: false,
  exits: {
    ...DATABASE_EXITS,
    [EXIT.failure]: 'a migration failed or was changed since; --check: something is pending',
  },
  run,
}

interface Pending {
  readonly from: number
  readonly to: number
  readonly migrations: readonly string[]
}

async function run(invocation: Invocation, terminal: Terminal): Promise<number> {
  await using open = await openDatabase(invocation, terminal)
  const migrations = open.definition.migrations ?? []
  const isCheck = invocation.switches.has('check')
  const pending = isCheck ? await look(open, migrations) : await migrate(open, migrations)
  const { from, to } = pending
  const isCurrent = from === to && pending.migrations.length === 0
  if (invocation.json) {
    printJson({ check: isCheck, tables: { from, to }, migrations: pending.migrations }, terminal)
  } else {
    print(pending, isCheck, terminal)
  }
  return isCheck && !isCurrent ? EXIT.failure : EXIT.ok
}

function print({ from, to, migrations }: Pending, isCheck: boolean, terminal: Terminal): void {
  const word = isCheck ? 'pending' : 'done'
  if (from === to) terminal.out(`tables of sluice: version ${to}, up to date`)
  else terminal.out(`tables of sluice: ${word}: ${from === 0 ? 'none' : `version ${from}`} to version ${to}`)
  if (migrations.length === 0) terminal.out("the app's migrations: none pending")
  for (const name of migrations) terminal.out(`the app's migrations: ${word}: ${name}`)
}

async function migrate({ db }: OpenDatabase, migrations: readonly Migration[]): Promise<Pending> {
  const { migrateEngine } = await import('../../engine/migrate.ts')
  const { from, to } = await migrateEngine(db)
  const ran = migrations.length === 0 ? [] : await db.migrate(migrations, { timeout: LIMIT })
  return { from, to, migrations: ran }
}

/** What has run before is only counted: whether it was changed since is found by whoever runs the rest. */
async function look({ db }: OpenDatabase, migrations: readonly Migration[]): Promise<Pending> {
  const [{ readVersion }, { SCHEMA_VERSION }] = await Promise.all([
    import('../../engine/migrate.ts'),
    import('../../engine/schema.ts'),
  ])
  const from = await readVersion(db)
  const there = await db.queryOne<{ found: boolean }>(
    `select to_regclass('sluice_migrations') is not null as found`,
  )
  const done =
    there?.found === true ? await db.query<{ name: string }>('select name from sluice_migrations') : []
  const names = new Set(done.map(({ name }) => name))
  const waiting = migrations.map(({ name }) => name).filter((name) => !names.has(name))
  return { from, to: SCHEMA_VERSION, migrations: waiting }
}
