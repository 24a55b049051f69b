/** What tasks with keys cost the database where there are many keys: how many rows are read, and by which index. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Postgres } from '../../src/components/postgres/index.ts'
import type { EngineDatabase } from '../../src/engine/database.ts'
import * as keyed from '../../src/engine/tasks/keyed.ts'
import * as offers from '../../src/engine/tasks/keyed-offers.ts'
import { PLAN_MODES, scansOf, statementOf } from './plan-support.ts'
import { ownTables, worker } from './tasks-support.ts'

const { KEY_SHARDS } = keyed
const KEYS = 100_000
const EACH = 2
/** Tasks of the same queue without a key, between the others. */
const PLAIN = 50_000
/** Tasks of another queue, behind all of these. */
const OTHERS = 100_000
const OF_A_SHARD = (KEYS * EACH) / KEY_SHARDS
const LIMIT = 50
const EPOCH = '1'
const BY_KEY = ['task_keyed']
const BY_ID = ['task_pkey']

interface Promised {
  readonly name: string
  readonly send: (db: EngineDatabase) => PromiseLike<unknown>
  readonly indexes: readonly string[]
  /** Of the table of tasks, at most. */
  readonly rows: number
}

test(
  'tasks of 100,000 keys are read and claimed by indexes, no more of them than asked for',
  { timeout: 120_000 },
  async () => {
    await using tables = await ownTables()
    const { db } = tables
    const owner = await worker(db)
    await db.execute(
      `insert into sluice.lease (kind, ref, shard, owner, epoch) select 'q', 1, n, $1, $2 from generate_series(0, $3::int - 1) n`,
      [owner, EPOCH, KEY_SHARDS],
    )
    await db.execute('analyze sluice.task')
    await fill(db)
    const promised = await statements(db, owner)
    const broken: string[] = []
    for (const statistics of ['of an empty table', 'fresh']) {
      if (statistics === 'fresh') await db.execute('analyze sluice.task', [], { timeout: '60s' })
      for (const mode of PLAN_MODES) {
        for (const { name, send, indexes, rows } of promised) {
          const scans = await scansOf(db, mode, await statementOf(send))
          const ofTasks = scans.filter(({ table }) => table === 'task')
          const isKept = ofTasks.every(
            ({ index = '', rows: read }) => indexes.includes(index) && read <= rows,
          )
          if (isKept && ofTasks.length > 0) continue
          broken.push(`${name}, ${mode}, statistics ${statistics}: ${JSON.stringify(ofTasks)}`)
        }
      }
    }
    assert.deepEqual(broken, [])
  },
)

async function statements(db: Postgres, owner: string): Promise<readonly Promised[]> {
  const { snap } = await keyed.readAhead(db, 1, [])
  const shards = Array.from({ length: KEY_SHARDS }, (_, shard) => shard)
  const bounds = (await db.queryOne<{ middle: number; last: number }>(
    'select (min(id) + max(id)) / 2 as middle, max(id) as last from sluice.task where queue = 1',
  ))!
  const [middle, last] = [Number(bounds.middle), Number(bounds.last)]
  const ahead =
    (after: number, limit: number, gap = 0) =>
    (on: EngineDatabase) =>
      keyed.readAhead(
        on,
        1,
        shards.map((shard) => ({
          shard,
          after,
          limit,
          gapFrom: after - gap,
          seen: after === 0 ? null : snap,
        })),
      )
  const some = await db.query<keyed.KeyedClaim & { readonly key: string }>(
    `select id::text as id, shard, '${EPOCH}' as epoch, key from sluice.task
     where key is not null and id > $1 order by id limit 100`,
    [middle],
  )
  const ids = some.map(({ id }) => id)
  const ofShard = some.filter(({ shard }) => shard === 3)
  const byShard = KEY_SHARDS * LIMIT
  return [
    { name: 'read from the beginning', send: ahead(0, LIMIT), indexes: BY_KEY, rows: byShard },
    { name: 'read from the middle', send: ahead(middle, LIMIT), indexes: BY_KEY, rows: byShard },
    { name: 'read at the end', send: ahead(last, LIMIT), indexes: BY_KEY, rows: 0 },
    // Ids of all shards and of tasks without keys are in the gap.
    { name: 'read with a gap', send: ahead(last, LIMIT, 10_000), indexes: BY_KEY, rows: 10_000 },
    { name: 'only a gap', send: ahead(middle, 0, 10_000), indexes: BY_KEY, rows: 10_000 },
    { name: 'is there one', send: (on) => keyed.hasKeyed(on, 1), indexes: BY_KEY, rows: 1 },
    { name: 'is there none', send: (on) => keyed.hasKeyed(on, 2), indexes: BY_KEY, rows: 0 },
    {
      name: 'claim',
      send: (on) => keyed.claimKeyed(on, 1, owner, some),
      indexes: BY_ID,
      rows: some.length,
    },
    { name: 'state', send: (on) => keyed.keyedState(on, ids), indexes: BY_ID, rows: some.length },
    {
      name: 'keys that had too many',
      send: (on) =>
        keyed.readKeys(
          on,
          1,
          3,
          { from: middle, to: middle + 10_000, limit: 2_000 },
          ofShard.map(({ key }) => key),
        ),
      indexes: BY_KEY,
      rows: 10_000 / KEY_SHARDS,
    },
    {
      name: 'later ones that were too many',
      send: (on) => keyed.readLater(on, 1, 3, { to: last, limit: 1_000, dueIn: 0 }),
      indexes: BY_KEY,
      rows: OF_A_SHARD,
    },
    {
      name: 'offer',
      send: (on) => offers.offerKeyed(on, 1, owner, some),
      indexes: BY_ID,
      rows: some.length,
    },
    {
      name: 'take what is offered',
      send: (on) => offers.takeOffered(on, { id: 1, name: 'one' }, owner, ['one'], LIMIT),
      indexes: [...BY_KEY, ...BY_ID],
      rows: 0,
    },
    {
      name: 'offers that are over',
      send: (on) => offers.offersOver(on, ids),
      indexes: BY_ID,
      rows: some.length,
    },
    {
      name: 'withdraw',
      send: (on) => offers.withdrawOffers(on, 1, { owner, shard: 3, epoch: EPOCH }),
      indexes: BY_KEY,
      rows: 0,
    },
  ]
}

/** Keys take turns, as they do in a queue that is behind; shards as well, and one in five tasks has no key. */
async function fill(db: Postgres): Promise<void> {
  await db.execute(
    `insert into sluice.task (queue, key, shard, body, xid, run_at)
     select 1, case when n % 5 > 0 then 'k' || n / 5 * 4 % $1::int + n % 5 end, n % $2::int, '{}', pg_current_xact_id(),
       clock_timestamp() + case when n % 10 = 1 then interval '1 hour' else interval '0' end
     from generate_series(1, $3::int) n`,
    [KEYS, KEY_SHARDS, KEYS * EACH + PLAIN],
    { timeout: '100s' },
  )
  await db.execute(
    `insert into sluice.task (queue, body) select 2, '{}' from generate_series(1, $1::int)`,
    [OTHERS],
    { timeout: '100s' },
  )
}
