/** Audit records on a real server: what is stored, what is refused, and what chains find. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Audit, AuditEntry } from '../../src/audit/api.ts'
import { audit, type AuditOptions } from '../../src/audit/index.ts'
import { postgres, type Postgres, type Transaction } from '../../src/components/postgres/index.ts'
import { connectComponent } from '../../src/testing/connect-component.ts'
import { databaseProxy } from '../support/database-proxy.ts'
import { durableDatabase } from '../support/durable-database.ts'

const options = { timeout: 120_000 }

interface Opened extends AsyncDisposable {
  readonly api: Audit
  readonly db: Postgres
  /** As the app does once the connection was lost. */
  reconnect(): Promise<void>
}

async function open(dsn: string, auditOptions: AuditOptions = {}): Promise<Opened> {
  const database = await connectComponent(postgres({ dsn }), { name: 'db' })
  const own = await connectComponent(audit(auditOptions), { required: { postgres: database.api } })
  return {
    api: own.api,
    db: database.api,
    reconnect: async () => (database.losses.length > 0 ? database.connect() : undefined),
    async [Symbol.asyncDispose]() {
      await own.close()
      await database.close()
    },
  }
}

const entry = (n: number, more: Partial<AuditEntry> = {}): AuditEntry => ({
  actor: 'ann',
  action: 'post.changed',
  subject: `post:${n}`,
  before: { n },
  after: { n: n + 1 },
  ...more,
})

test('records are gathered, stored with their values, and found page by page', options, async () => {
  await using own = await durableDatabase()
  await using a = await open(own.dsn)
  const stored = await Promise.all(Array.from({ length: 250 }, (_, n) => a.api.record(entry(n))))
  assert.equal(new Set(stored.map(({ id }) => id)).size, 250)
  await a.api.record(entry(0, { actor: 'bob', action: 'post.deleted' }))
  const found: string[] = []
  let after: string | undefined
  do {
    const page = await a.api.query({ actor: 'ann', limit: 100, after })
    found.push(...page.records.map(({ id }) => id))
    after = page.next
  } while (after !== undefined)
  assert.deepEqual(found.toSorted(), stored.map(({ id }) => id).toSorted())
  const { records } = await a.api.query({ subject: 'post:17' })
  assert.deepEqual([records[0]?.before, records[0]?.after], [{ n: 17 }, { n: 18 }])
  assert.equal(records[0]?.id, stored[17]?.id, 'each call got the id of its own record')
  const { records: byAction } = await a.api.query({
    action: 'post.deleted',
    from: new Date(Date.now() - 3_600_000),
  })
  assert.deepEqual(
    byAction.map(({ actor }) => actor),
    ['bob'],
  )
  assert.deepEqual((await a.api.query({ to: new Date(0) })).records, [])
  await assert.rejects(a.api.query({ limit: 0 }), { code: 'SLUICE_INVALID_ARGUMENT' })
  for (const after of ['1; drop', '1-', '-1', '1-2-3', `1-${'9'.repeat(19)}`])
    await assert.rejects(a.api.query({ after }), { code: 'SLUICE_INVALID_ARGUMENT' })
})

test('paging goes on where the record that a page ended with was deleted meanwhile', options, async () => {
  await using own = await durableDatabase()
  await using a = await open(own.dsn)
  // In one statement, so that they have one time: then their ids decide.
  await a.db.execute(
    `insert into sluice.audit (actor, action, at) select 'ann', 'a' || n, timestamptz '2026-03-29 02:30:00.123457+02'
     from generate_series(1, 3) n union all select 'ann', 'a0', timestamptz '2026-03-29 02:30:00.123456+02'`,
  )
  const actions: string[] = []
  let after: string | undefined
  do {
    const { records, next } = await a.api.query({ limit: 1, after })
    actions.push(...records.map(({ action }) => action))
    assert.deepEqual(Object.keys(records[0]!).includes('place'), false)
    // What an older version answered, while the record is there.
    const [newer] = (await a.api.query({ limit: 1, after: records[0]!.id })).records
    const id = records[0]!.id
    await a.db.transaction(async (tx) => {
      await tx.query(`select set_config('sluice.audit_retention', 'on', true)`)
      await tx.execute('delete from sluice.audit where id = $1', [id])
    })
    const following = next === undefined ? [] : (await a.api.query({ limit: 1, after: next })).records
    assert.equal(following[0]?.id, newer?.id)
    after = next
  } while (after !== undefined)
  assert.deepEqual(actions, ['a3', 'a2', 'a1', 'a0'])
})

test('a record commits with its transaction, and a rolled back one records nothing', options, async () => {
  await using own = await durableDatabase()
  await using a = await open(own.dsn)
  await a.db.transaction(async (tx) => void (await a.api.record(entry(1), { tx })))
  await assert.rejects(
    Promise.resolve(
      a.db.transaction(async (tx) => {
        await a.api.record(entry(2), { tx })
        await a.api.record(entry(3), { tx, chain: 'c' })
        throw new Error('changed my mind')
      }),
    ),
    /changed my mind/,
  )
  const { records } = await a.api.query()
  assert.deepEqual(
    records.map(({ subject }) => subject),
    ['post:1'],
  )
  assert.equal(await a.api.head('c'), undefined)
})

test(
  'secrets are taken out, control characters are data, and what is too large or no JSON is refused',
  options,
  async () => {
    await using own = await durableDatabase()
    await using a = await open(own.dsn, { maxSize: 1_000 })
    const evil = 'ann\r\n\u001B[31mroot: deleted everything'
    await a.api.record(
      entry(1, {
        actor: evil,
        before: { password: 'hunter2', nested: [{ apiKey: 'k', name: 'n\u0000\uD800' }] },
        after: JSON.parse('{"__proto__": {"polluted": true}, "url": "postgres://u:pw@h/d"}'),
        meta: 'x',
      }),
    )
    const { records } = await a.api.query({ actor: evil })
    const [record] = records
    assert.equal(record?.actor, evil)
    assert.deepEqual(record?.before, { password: '***', nested: [{ apiKey: '***', name: 'n\uFFFD\uFFFD' }] })
    assert.equal(JSON.stringify(record?.after), '{"url":"postgres://***@h/d","__proto__":{"polluted":true}}')
    assert.equal('polluted' in {}, false)
    await assert.rejects(a.api.record(entry(1, { after: 'x'.repeat(1_001) })), { code: 'SLUICE_TOO_LARGE' })
    const circle: { self?: unknown } = {}
    circle.self = circle
    let deep: unknown = 1
    for (let i = 0; i < 100; i++) deep = [deep]
    for (const after of [circle, 10n, () => {}, deep])
      await assert.rejects(a.api.record(entry(1, { after })), { code: 'SLUICE_INVALID_DATA' })
    for (const actor of ['', 'x'.repeat(201), 'a\0'])
      await assert.rejects(a.api.record(entry(1, { actor })), { code: 'SLUICE_INVALID_ARGUMENT' })
  },
)

test('the table refuses changes, deletes and truncation', options, async () => {
  await using own = await durableDatabase()
  await using a = await open(own.dsn)
  await a.api.record(entry(1))
  for (const sql of [
    `update sluice.audit set actor = 'eve'`,
    'delete from sluice.audit',
    'truncate sluice.audit',
  ])
    await assert.rejects(a.db.execute(sql), /append-only/)
  const all = a.db.transaction(async (tx) => {
    await tx.query(`select set_config('sluice.audit_retention', 'on', true)`)
    await tx.execute(`update sluice.audit set actor = 'eve'`)
  })
  await assert.rejects(Promise.resolve(all), /append-only/)
  assert.equal((await a.api.query()).records.length, 1)
})

test('retention deletes what is old and has no chain', options, async () => {
  await using own = await durableDatabase()
  {
    await using a = await open(own.dsn)
    const insert = `insert into sluice.audit (actor, action, subject, at, chain, prev)
      select 'ann', 'old', n::text, clock_timestamp() - interval '2 days', $1, decode($2, 'hex') from generate_series(1, $3::int) n`
    await a.db.execute(insert, [null, null, 2_500])
    await a.db.execute(insert, ['c', '00', 1])
    await a.api.record(entry(1))
  }
  const done = Promise.withResolvers<void>()
  const info = (_: unknown, text?: string): void => {
    if (text?.includes('past their retention') === true) done.resolve()
  }
  const log = { debug() {}, warn() {}, error() {}, info, child: () => log }
  await using database = await connectComponent(postgres({ dsn: own.dsn }), { name: 'db' })
  await using chore = await connectComponent(audit({ retention: '1d' }), {
    required: { postgres: database.api },
    log,
  })
  await done.promise
  const { records } = await chore.api.query()
  assert.deepEqual(
    records.map(({ chain }) => chain),
    [undefined, 'c'],
  )
})

/** Changes rows as whoever owns the table can. */
async function tamper(db: Postgres, sql: string): Promise<void> {
  await db.script(
    `alter table sluice.audit disable trigger user; ${sql}; alter table sluice.audit enable trigger user`,
  )
}

test(
  'concurrent writers of two processes keep one chain, in transactions and gathered',
  options,
  async () => {
    await using own = await durableDatabase()
    await using a = await open(own.dsn)
    await using b = await open(own.dsn)
    const writes = Array.from({ length: 60 }, async (_, n) => {
      const { api, db } = n % 2 === 0 ? a : b
      if (n % 3 === 0)
        await db.transaction(async (tx) => void (await api.record(entry(n), { tx, chain: 'c' })))
      else await api.record(entry(n), { chain: n % 5 === 0 ? 'other' : 'c' })
    })
    await Promise.all(writes)
    const verified = await a.api.verify('c')
    assert.ok(verified.ok)
    const others = await a.api.verify('other')
    assert.ok(others.ok)
    assert.equal(verified.records + others.records, 60)
    assert.deepEqual(verified.head, await b.api.head('c'))
  },
)

test('verify names the first record that was changed, deleted, inserted or cut off', options, async () => {
  await using own = await durableDatabase()
  await using a = await open(own.dsn)
  const fill = async (chain: string): Promise<readonly string[]> => {
    const ids: string[] = []
    for (let n = 0; n < 6; n++)
      ids.push((await a.api.record(entry(n, { meta: { b: 1, a: [1.5, 'é'] } }), { chain })).id)
    assert.deepEqual(await a.api.verify(chain), { ok: true, records: 6, head: await a.api.head(chain) })
    return ids
  }

  const changed = await fill('changed')
  await tamper(a.db, `update sluice.audit set after = '{"n": 99}' where id = ${changed[2]}`)
  assert.deepEqual(await a.api.verify('changed'), { ok: false, records: 2, id: changed[2], fault: 'changed' })

  for (const column of ['actor', 'action', 'subject']) {
    const ids = await fill(column)
    await tamper(a.db, `update sluice.audit set ${column} = 'x' where id = ${ids[0]}`)
    assert.deepEqual(await a.api.verify(column), { ok: false, records: 0, id: ids[0], fault: 'changed' })
  }
  const time = await fill('time')
  await tamper(a.db, `update sluice.audit set at = at - interval '1 hour' where id = ${time[5]}`)
  assert.deepEqual(await a.api.verify('time'), { ok: false, records: 5, id: time[5], fault: 'changed' })

  const deleted = await fill('deleted')
  await tamper(a.db, `delete from sluice.audit where id = ${deleted[3]}`)
  assert.deepEqual(await a.api.verify('deleted'), {
    ok: false,
    records: 3,
    id: deleted[4],
    fault: 'unlinked',
  })

  const first = await fill('first')
  await tamper(a.db, `delete from sluice.audit where id = ${first[0]}`)
  assert.deepEqual(await a.api.verify('first'), { ok: false, records: 0, id: first[1], fault: 'unlinked' })

  const inserted = await fill('inserted')
  await tamper(
    a.db,
    `update sluice.audit set id = default where id = ${inserted[4]};
     update sluice.audit set id = default where id = ${inserted[5]};
     insert into sluice.audit (id, actor, action, chain, prev, hash) overriding system value
     values (${inserted[4]}, 'eve', 'x', 'inserted', decode('ab', 'hex'), decode('cd', 'hex'))`,
  )
  assert.deepEqual(await a.api.verify('inserted'), {
    ok: false,
    records: 4,
    id: inserted[4],
    fault: 'inserted',
  })

  const cut = await fill('cut')
  const anchor = await a.api.head('cut')
  await tamper(a.db, `delete from sluice.audit where id in (${cut[4]}, ${cut[5]})`)
  assert.equal((await a.api.verify('cut')).ok, true, 'a chain alone does not tell')
  assert.deepEqual(await a.api.verify('cut', { anchor }), { ok: false, records: 4, id: cut[5], fault: 'cut' })
})

test(
  'a record waits for a database that is away, and rejects with a code when that lasts',
  options,
  async () => {
    await using own = await durableDatabase()
    await using faulty = await databaseProxy(own.dsn)
    const { proxy } = faulty
    await using observer = await open(own.dsn)
    await using a = await open(faulty.dsn, { timeout: '1s' })
    await using patient = await open(faulty.dsn, { timeout: '60s' })
    await a.api.record(entry(1))
    await proxy.refuse()
    proxy.reset()
    await assert.rejects(Promise.resolve(a.api.record(entry(2))), { name: 'SluiceError' })
    // It has noticed; a record that is under way just then may have been stored, and rejects saying so.
    await assert.rejects(Promise.resolve(patient.db.queryOne('select 1')))
    const waiting = patient.api.record(entry(3))
    await proxy.accept()
    proxy.heal()
    await Promise.all([a.reconnect(), patient.reconnect()])
    const { id } = await waiting
    const { records } = await observer.api.query()
    assert.deepEqual(
      records.map((each) => [each.subject, each.id === id]),
      [
        ['post:3', true],
        ['post:1', false],
      ],
    )
  },
)

for (const chain of [undefined, 'ledger'] as const) {
  const what = chain === undefined ? 'a record' : 'a record of a chain'
  test(`${what} whose answer is lost is sent again, and stored once`, options, async () => {
    await using own = await durableDatabase()
    await using faulty = await databaseProxy(own.dsn)
    const { proxy } = faulty
    await using a = await open(faulty.dsn, { timeout: '60s' })
    const before = await a.api.record(entry(1), { chain })
    const lost = Promise.withResolvers<void>()
    for (const connection of proxy.connections) {
      let isHere = false
      connection.intercept((bytes, way) => {
        if (way === 'up') isHere ||= bytes.includes('lost-answer')
        else if (isHere && bytes.includes(chain === undefined ? 'INSERT' : 'COMMIT')) {
          lost.resolve()
          return 'reset'
        }
        return bytes
      })
    }
    const waiting = a.api.record(entry(2, { actor: 'lost-answer' }), { chain })
    await lost.promise
    await a.reconnect()
    const { id } = await waiting
    const { records } = await a.api.query()
    assert.deepEqual(
      records.map((each) => [each.id, each.subject]),
      [
        [id, 'post:2'],
        [before.id, 'post:1'],
      ],
    )
    if (chain !== undefined) assert.equal((await a.api.verify(chain)).ok, true)
  })
}

test('what is no transaction is refused before anything is stored', options, async () => {
  await using own = await durableDatabase()
  await using here = await open(own.dsn)
  const tx = here.db as unknown as Transaction
  await assert.rejects(here.api.record(entry(1), { tx }), {
    code: 'SLUICE_INVALID_ARGUMENT',
    message: /audit\.record: tx: expected a transaction, got the database itself/,
  })
  assert.deepEqual((await here.api.query()).records, [])
})
