/** Durable work on the embedded server, which is another version of PostgreSQL than most: through a kill, end to end. */
import assert from 'node:assert/strict'
import { after, before, suite, test } from 'node:test'
import { audit } from '../../src/audit/index.ts'
import { postgres } from '../../src/components/postgres/index.ts'
import { connectComponent } from '../../src/testing/connect-component.ts'
import { openTestServer, type TestServer } from '../../src/testing/index.ts'
import { bury, durablePrograms, openDurable, ORDERS, type Kind } from './support/durable.ts'
import { until } from './support/until.ts'

const options = { timeout: 60_000 }
const start = durablePrograms()

suite('on the embedded server', { concurrency: 4, ...options, timeout: 170_000 }, () => {
  let server: TestServer | undefined
  before(async () => {
    server = await openTestServer()
  })
  after(() => server?.close())

  const MOMENTS = {
    jobs: 'jobs.committing',
    keyed: 'jobs.committing',
    events: 'events.committing',
    'parked events': 'events.parked',
    cron: 'cron.committing',
  } as const satisfies Readonly<Record<Exclude<Kind, `plain ${string}`>, string>>
  for (const [kind, moment] of Object.entries(MOMENTS) as [Kind, string][]) {
    test(`${kind} of a process that is killed are done by the next, each once`, options, async () => {
      await using own = await server!.createDatabase()
      await using heir = await openDurable(own.dsn, kind, { pollInterval: '500ms' })
      await heir.prepare()
      await using victim = start(own.dsn, kind, { moment })
      assert.equal(await victim.exited, 'SIGKILL')
      await bury(heir)
      await heir.work()
      for (const id of ORDERS) await heir.handIn(`more ${id}`)
      const look = async (): Promise<readonly string[]> => {
        const rows = await heir.db.query<{ id: string }>('select id from effects')
        return rows.map(({ id }) => id)
      }
      // The order of a run by hand is committed before the run: the last one of the victim may be without.
      const [{ n } = { n: 0 }] = await heir.db.query<{ n: number }>(
        kind === 'cron'
          ? 'select count(*)::int as n from sluice.cron_run where manual is not null'
          : 'select count(*)::int as n from orders',
      )
      assert.ok(n > ORDERS.length, `${n} orders`)
      const effects = await until(look, ({ length }) => length >= n)
      assert.equal(effects.length, n)
      assert.equal(new Set(effects).size, n)
    })
  }

  test('audit records commit with the change, and their chain is whole', options, async () => {
    await using own = await server!.createDatabase()
    await using db = await connectComponent(postgres({ dsn: own.dsn }), { name: 'db' })
    await using records = await connectComponent(audit(), { required: { postgres: db.api } })
    const entry = { actor: 'ann', action: 'post.changed', subject: 'post:1' }
    const undone = new Error('undo')
    await assert.rejects(
      db.api.transaction(async (tx) => {
        await records.api.record({ ...entry, subject: 'post:2' }, { tx, chain: 'posts' })
        throw undone
      }),
      undone,
    )
    await db.api.transaction((tx) => records.api.record(entry, { tx, chain: 'posts' }))
    await records.api.record(entry, { chain: 'posts' })
    const page = await records.api.query({ actor: 'ann' })
    assert.deepEqual(
      page.records.map(({ subject }) => subject),
      ['post:1', 'post:1'],
    )
    const verified = await records.api.verify('posts')
    assert.equal(verified.ok, true)
    assert.equal(verified.records, 2)
  })
})
