/** The roles that the guide to operations gives an app: one that owns its tables, and one that runs it and may do little. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { postgres, type Postgres } from '../../src/components/postgres/index.ts'
import { migrateEngine } from '../../src/engine/migrate.ts'
import { tendLog } from '../../src/engine/log/retention.ts'
import { event, events } from '../../src/events/index.ts'
import { job, jobs } from '../../src/jobs/index.ts'
import { connectComponent } from '../../src/testing/connect-component.ts'
import { anything } from '../events/support.ts'
import { durableDatabase } from '../support/durable-database.ts'

const GUIDE = new URL('../../docs/guides/operations.md', import.meta.url)
const MIGRATIONS = [
  { name: '001 todos', up: 'create table todos (id bigint generated always as identity, title text)' },
]

interface Place extends AsyncDisposable {
  /** What its tables belong to. */
  readonly owner: string
  /** What the app runs as. */
  readonly app: string
  as(role: string): string
}

/** A database of its own with roles of its own, set up by the guide's own statements. */
async function place(): Promise<Place> {
  const app = `todo_${randomBytes(6).toString('hex')}`
  const owner = `${app}_owner`
  await using stack = new AsyncDisposableStack()
  const { dsn } = stack.use(await durableDatabase())
  const block = /## Roles in the database[^]*?```sql\n([^]*?)```/.exec(await readFile(GUIDE, 'utf8'))?.[1]
  assert.ok(block !== undefined, 'the guide has the statements')
  const database = new URL(dsn).pathname.slice(1)
  const admin = stack.use(await connectComponent(postgres({ dsn }), { name: 'admin' }))
  await admin.api.script(
    block
      .replaceAll(/\btodo(?=_owner\b|\b)/g, app)
      .replaceAll(new RegExp(`\\bdatabase ${app}\\b`, 'g'), `database ${database}`),
  )
  stack.defer(async () => {
    for (const role of [owner, app])
      await admin.api.script(`drop owned by ${role} cascade; drop role ${role}`)
  })
  const owned = stack.move()
  return {
    owner,
    app,
    as: (role) => Object.assign(new URL(dsn), { username: role }).href,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

const options = { timeout: 60_000 }

test(
  'an app runs with nothing but the grants of the guide, whoever brought the tables up to date',
  options,
  async () => {
    await using here = await place()
    {
      await using owner = await connectComponent(postgres({ dsn: here.as(here.owner) }), { name: 'db' })
      await migrateEngine(owner.api)
      await owner.api.migrate(MIGRATIONS)
    }
    await using stack = new AsyncDisposableStack()
    const dsn = here.as(here.app)
    const db = stack.use(await connectComponent(postgres({ dsn, migrations: MIGRATIONS }), { name: 'db' }))
    const required = { required: { postgres: db.api } }
    const queue = stack.use(await connectComponent(jobs(), required))
    const log = stack.use(await connectComponent(events(), required))

    const done = Promise.withResolvers<string>()
    const heard = Promise.withResolvers<string>()
    const greet = job('greet', anything<{ title: string }>())
    const created = event('todo.created', anything<{ title: string }>())
    queue.api.handle(greet, ({ data }) => done.resolve(data.title))
    log.api.subscribe(created, 'reader', ({ data }) => heard.resolve(data.title), { from: 'beginning' })
    await db.api.transaction(async (tx) => {
      await tx.execute(`insert into todos (title) values ('one')`)
      await queue.api.enqueue(greet, { title: 'one' }, { tx })
      await log.api.publish(created, { title: 'one' }, { tx })
    })
    assert.deepEqual(await Promise.all([done.promise, heard.promise]), ['one', 'one'])

    await partitionsComeAndGo(db.api)
    for (const statement of [
      'create table more (n int)',
      'drop table todos',
      'alter table todos add column n int',
      'create schema other',
      'create role another',
    ]) {
      await assert.rejects(db.api.execute(statement), { code: 'SLUICE_QUERY' }, statement)
    }
  },
)

test('a migration that is pending when the app starts says that the right is missing', options, async () => {
  await using here = await place()
  const failing = connectComponent(postgres({ dsn: here.as(here.app), migrations: MIGRATIONS }), {
    name: 'db',
  })
  await assert.rejects(failing, { message: /permission denied for schema public/ })
})

/** The log makes partitions ahead of what is published, and drops the oldest. */
async function partitionsComeAndGo(db: Postgres): Promise<void> {
  await db.query(`select setval('sluice.event_id', 150000)`)
  const signal = AbortSignal.timeout(30_000)
  const tended = await tendLog(db, 3_600_000, () => false, signal)
  assert.ok(tended !== undefined && tended.made.length > 0, JSON.stringify(tended))
}
