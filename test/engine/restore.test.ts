/** A dump of one cluster, restored into another whose transaction ids are far lower. */
import assert from 'node:assert/strict'
import { execFile, spawnSync } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { postgres, type Postgres } from '../../src/components/postgres/index.ts'
import { moveCursors, readCursor } from '../../src/engine/log/cursor.ts'
import { publishEvents } from '../../src/engine/log/publish.ts'
import { writeTick } from '../../src/engine/log/tick.ts'
import { nextWindow, readPage, type Position } from '../../src/engine/log/window.ts'
import { migrateEngine } from '../../src/engine/migrate.ts'
import { repairRestored } from '../../src/engine/restore.ts'
import { enqueueTasks } from '../../src/engine/tasks/enqueue.ts'
import { silentLogger } from '../../src/telemetry/log.ts'
import { connectComponent } from '../../src/testing/connect-component.ts'
import { durableDatabase } from '../support/durable-database.ts'
import { newTask, openTables } from './tasks-support.ts'

test(
  'after a restore into another cluster readers go on where they were, and miss nothing',
  { timeout: 120_000 },
  async (t) => {
    await using own = await durableDatabase()
    let dump: string
    {
      await using source = await openTables(own.dsn)
      const { db } = source
      const reason = await cannotDump(db)
      if (reason !== undefined) return t.skip(reason)
      await spendTransactions(db, 20_000)
      await db.execute(`insert into sluice.topic (name) values ('t')`)
      await db.execute(
        `insert into sluice.sub (name, patterns) values ('one', '{t}'), ('two', '{t}'), ('three', '{t}')`,
      )
      await db.execute(`insert into sluice.lease (kind, ref, shard, tick, owner) values
      ('s', 1, 0, 0, 7), ('s', 2, 0, 0, 7), ('s', 3, 0, 0, 7), ('q', 1, 0, null, null)`)
      // One that holds early ids and commits late: those who read in between have read above its ids.
      const late = Promise.withResolvers<void>()
      const begun = Promise.withResolvers<void>()
      const open = db.transaction(async (tx) => {
        await publish(tx, ['late'])
        begun.resolve()
        await late.promise
      })
      await begun.promise
      await publish(db, ['a', 'b'])
      const all = await readOn(db, 1, true)
      assert.deepEqual(all, ['a', 'b'])
      await readOn(db, 2, true)
      late.resolve()
      await open
      await publish(db, ['c'])
      assert.deepEqual(await readOn(db, 1, true), ['late', 'c'])
      await publish(db, ['d'])
      await enqueueTasks(db, [newTask({ key: 'k' })])
      const { stdout } = await promisify(execFile)(
        'pg_dump',
        ['--inserts', '--no-owner', '--schema', 'sluice', own.dsn],
        { maxBuffer: 64 * 1_048_576 },
      )
      // Commands of psql.
      dump = stdout.replaceAll(/^\\.*$/gm, '')
    }
    const dataDir = await mkdtemp(join(tmpdir(), 'sluice-restore-'))
    try {
      await using target = await connectComponent(postgres({ dataDir }), { name: 'db' })
      const { api: db } = target
      await db.script(dump)
      await migrateEngine(db)
      const repaired = await repairRestored(db, silentLogger)
      assert.equal(repaired?.moved, true)
      assert.ok((repaired?.rows ?? 0) > 0)
      assert.equal(await repairRestored(db, silentLogger), undefined, 'once')
      await publish(db, ['new'])
      // The one that had read everything but the last; the one that had not read what came late; the one that read nothing.
      assert.deepEqual(await readOn(db, 1, false), ['d', 'new'])
      assert.deepEqual(await readOn(db, 2, false), ['late', 'a', 'b', 'c', 'd', 'new'])
      assert.deepEqual(await readOn(db, 3, false), ['late', 'a', 'b', 'c', 'd', 'new'])
      const task = await db.queryOne<{ seen: boolean }>(
        'select pg_visible_in_snapshot(xid, pg_current_snapshot()) as seen from sluice.task',
      )
      assert.deepEqual(task, { seen: true })
    } finally {
      await rm(dataDir, { recursive: true, force: true })
    }
  },
)

test(
  'a database that stays where it is, or moves to a cluster that is ahead, is left as it is',
  { timeout: 60_000 },
  async () => {
    await using own = await durableDatabase()
    await using tables = await openTables(own.dsn)
    const { db } = tables
    await db.execute(`insert into sluice.topic (name) values ('t')`)
    await publish(db, ['a'])
    await writeTick(db)
    const ticks = await db.query('select n, snap::text from sluice.tick order by n')
    assert.equal(await repairRestored(db, silentLogger), undefined)
    await db.execute(`update sluice.meta set v = '1' where k = 'system'`)
    assert.deepEqual(await repairRestored(db, silentLogger), { moved: true, rows: undefined })
    assert.equal(await repairRestored(db, silentLogger), undefined)
    assert.deepEqual(await db.query('select n, snap::text from sluice.tick order by n'), ticks)
  },
)

/** Why `pg_dump` cannot read this server: it refuses those that are newer than itself. */
async function cannotDump(db: Postgres): Promise<string | undefined> {
  const { stdout } = spawnSync('pg_dump', ['--version'], { encoding: 'utf8' })
  const own = /\d+/.exec(stdout ?? '')?.[0]
  if (own === undefined) return 'pg_dump is not installed'
  const row = await db.queryOne<{ major: number }>(
    `select current_setting('server_version_num')::int / 10000 as major`,
  )
  return Number(own) >= row!.major ? undefined : `pg_dump ${own} cannot read PostgreSQL ${row!.major}`
}

async function publish(db: Pick<Postgres, 'query'>, names: readonly string[]): Promise<void> {
  await publishEvents(
    db as Postgres,
    names.map((name) => ({ topic: 1, version: 1, body: name })),
  )
}

/** What the subscription has not read, in the order of its pages. */
async function readOn(db: Postgres, ref: number, move: boolean): Promise<readonly (string | null)[]> {
  while ((await writeTick(db)) === 'busy');
  let at: Position | undefined = await readCursor(db, ref, 0)
  const bodies: (string | null)[] = []
  for (;;) {
    assert.ok(at !== undefined)
    const till: string | undefined = at.till ?? (await nextWindow(db, at.tick))?.till
    if (till === undefined) break
    const page = await readPage(db, [1], at, till)
    bodies.push(...page.rows.map(({ body }) => body))
    at = page.to
  }
  const lease = await db.queryOne<{ epoch: string }>('select epoch::text from sluice.lease where ref = $1', [
    ref,
  ])
  if (move) {
    const moved = await moveCursors(db, [{ ref, shard: 0, owner: '7', epoch: lease!.epoch, reads: 0, ...at }])
    assert.deepEqual(moved, [true])
  }
  return bodies
}

/** Takes so many transaction ids. */
async function spendTransactions(db: Postgres, count: number): Promise<void> {
  await db.script(`create temporary table spent (n int); do $$ begin for n in 1..${count} loop
    begin insert into spent values (n); exception when others then raise; end; end loop; end $$; drop table spent`)
}
