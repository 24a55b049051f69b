/** Migrations that the component runs while it connects, and a connect whose time is up before they are done. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Migration, Postgres } from '../../../src/components/postgres/index.ts'
import { SluiceError } from '../../../src/core/errors.ts'
import { ManualClock } from '../../../src/testing/manual-clock.ts'
import { connected, opened, server, skip, unique } from './support.ts'

interface OwnDatabase extends AsyncDisposable {
  readonly name: string
  readonly dsn: string
  readonly admin: Postgres
}

async function ownDatabase(): Promise<OwnDatabase> {
  const made = await connected()
  const name = unique('m')
  await made.api.createDatabase(name)
  const dsn = new URL(server.url)
  dsn.pathname = `/${name}`
  return {
    name,
    dsn: dsn.href,
    admin: made.api,
    async [Symbol.asyncDispose]() {
      await made.api.dropDatabase(name)
      await made.close()
    },
  }
}

/** As the app aborts a connect. */
const timeUp = (): SluiceError =>
  new SluiceError('SLUICE_TIMEOUT', '"db: connect" timed out after 60000 ms', {
    component: 'db',
    retryable: true,
  })

/** One that tells when it has begun, and never ends. */
function endless(name: string): { readonly migration: Migration; readonly begun: Promise<void> } {
  const begun = Promise.withResolvers<void>()
  const up: Migration['up'] = async (tx) => {
    await tx.execute('create table half (n int)')
    begun.resolve()
    await new Promise(() => {})
  }
  return { migration: { name, up }, begun: begun.promise }
}

test('a migration that outlasts the connect is named, with its time and the way out', { skip }, async () => {
  await using own = await ownDatabase()
  const clock = new ManualClock()
  const { migration, begun } = endless('002_index')
  const first = { name: '001_todos', up: 'create table todos (n int)' }
  await using made = await opened({ dsn: own.dsn, migrations: [first, migration] }, { clock })
  const controller = new AbortController()
  const reason = timeUp()
  const rejected = assert.rejects(made.connect(controller.signal), {
    code: 'SLUICE_TIMEOUT',
    component: 'db',
    retryable: true,
    cause: reason,
    message:
      'db: the migration "002_index" was rolled back: it was not done after 1500 ms, when the time of the connect was up',
    hint: 'Run "sluice migrate" before the start, or raise infrastructure.timeouts.db (one hour at most).',
  })
  await begun
  await clock.advance(1_500)
  controller.abort(reason)
  await rejected
  // What was done before it stays.
  const second = { name: '002_index', up: 'create table half (n int)' }
  await using next = await connected({ dsn: own.dsn, migrations: [first, second] })
  assert.equal(await next.api.execute('select * from todos, half'), 0)
})

test('a connect that ends for another reason says that reason', { skip }, async () => {
  await using own = await ownDatabase()
  const { migration, begun } = endless('001')
  await using made = await opened({ dsn: own.dsn, migrations: [migration] })
  const controller = new AbortController()
  const reason = new SluiceError('SLUICE_SHUTDOWN', 'the app stops')
  const rejected = assert.rejects(made.connect(controller.signal), reason)
  await begun
  controller.abort(reason)
  await rejected
})

test('a connect whose time is up while another process migrates says so', { skip }, async () => {
  await using own = await ownDatabase()
  const theirs = endless('001')
  await using other = await opened({ dsn: own.dsn, migrations: [theirs.migration] })
  const ending = new AbortController()
  const ended = assert.rejects(other.connect(ending.signal), { code: 'SLUICE_TIMEOUT' })
  await theirs.begun
  await using made = await opened({ dsn: own.dsn, migrations: [{ name: '001', up: 'select 1' }] })
  const controller = new AbortController()
  const rejected = assert.rejects(made.connect(controller.signal), (error: Error) => {
    assert.match(error.message, /^db: no turn to migrate within \d+ ms: another process migrates/)
    return true
  })
  const waiting = `select 1 from pg_locks l join pg_database d on d.oid = l.database
    where d.datname = $1 and l.locktype = 'advisory' and not l.granted`
  while ((await own.admin.query(waiting, [own.name])).length === 0) await Promise.resolve()
  controller.abort(timeUp())
  await rejected
  ending.abort(timeUp())
  await ended
})
