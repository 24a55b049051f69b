/** Limits over all processes, counted in a place of their own. */
import assert from 'node:assert/strict'
import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { test } from 'node:test'
import { giveRate, passGate, takeRate, DROP_RATES } from '../../src/engine/tasks/limits.ts'
import { limitRules } from '../../src/jobs/limits.ts'
import { openEngine } from '../engine/leases-support.ts'
import { durableDatabase } from '../support/durable-database.ts'
import { Few, KEY_RATE, Often, OftenByKey, RATE, TwoByKey } from './limits-jobs.ts'
import { testJobs } from './support.ts'

const options = { timeout: 120_000 }

test('the limits of a queue are the strictest that its jobs say', () => {
  const rate = (limit: number, perMs: number) => ({ limit, perMs, by: 'queue' }) as const
  assert.deepEqual(limitRules([]), { running: undefined, rate: undefined, width: 1, keyRate: undefined })
  const {
    running,
    rate: strict,
    width,
  } = limitRules([
    { limit: { running: 5, by: 'queue' }, rate: rate(10, 1_000) },
    { limit: { running: 2, by: 'queue' }, rate: rate(100, 60_000) },
    { limit: { running: 4, by: 'key' }, rate: undefined },
  ])
  assert.equal(running, 2)
  assert.equal(strict?.limit, 100)
  assert.equal(width, 4)
})

test('permits to run are given out once, and those of the dead come back', options, async () => {
  await using own = await durableDatabase()
  await using it = await openEngine(own.dsn)
  const ids = await it.db.query<{ id: string }>(
    `insert into sluice.worker (name) select 'w' from generate_series(1, 8) returning id`,
  )
  const ask = (id: string, held: number, want: number) => passGate(it.db, 1, id, { held, want, limit: 5 })
  const answers = await Promise.all(ids.map(({ id }) => ask(id, 0, 2)))
  const granted = answers.map((answer) => answer.granted)
  assert.equal(
    granted.reduce((sum, each) => sum + each, 0),
    5,
  )
  const holder = ids[granted.findIndex((each) => each === 2)]!
  const refused = ids[granted.findIndex((each) => each === 0)]!
  const [one, none] = [await ask(holder.id, 1, 0), await ask(holder.id, 0, 0)]
  assert.deepEqual(
    [one.woken, none.woken],
    [true, false],
    'the first who ends one tells those that were refused',
  )
  assert.equal((await ask(refused.id, 0, 9)).granted, 2)
  assert.equal((await ask(refused.id, 2, 1)).granted, 0)
  await it.db.execute(
    `update sluice.worker set dead_at = clock_timestamp() - interval '1 minute' where id <> $1`,
    [refused.id],
  )
  assert.equal((await ask(refused.id, 2, 9)).granted, 3)
})

test('starts are given out once for a window, and what was none can be given back', options, async () => {
  await using own = await durableDatabase()
  await using it = await openEngine(own.dsn)
  const limit = { limit: 10, perMs: 3_600_000 }
  const take = (want: number) => takeRate(it.db, 1, new Map([['', want]]), limit)
  const answers = await Promise.all(Array.from({ length: 8 }, () => take(3)))
  const granted = answers.map((answer) => answer.get('')!)
  assert.equal(
    granted.reduce((sum, each) => sum + each.granted, 0),
    10,
  )
  const [first] = granted
  assert.ok(first!.dueIn > 3_400_000 && first!.dueIn <= 3_600_000 * (33 / 32), `${first!.dueIn}`)
  await giveRate(it.db, 1, '', first!.slot, 2)
  assert.equal((await take(9)).get('')!.granted, 2)
  // Another width begins anew with all that was given out.
  const other = await takeRate(it.db, 1, new Map([['', 9]]), { limit: 12, perMs: 60_000 })
  assert.equal(other.get('')!.granted, 2)
  const keys = await takeRate(
    it.db,
    1,
    new Map([
      ['a', 4],
      ['b', 11],
    ]),
    limit,
  )
  assert.deepEqual([keys.get('a')?.granted, keys.get('b')?.granted], [4, 10])
  await it.db.execute(`update sluice.rate set until = clock_timestamp() - interval '1 ms'`)
  assert.equal(await it.db.execute(DROP_RATES, [100]), 3)
})

test('in no window, wherever it begins, do more start than the limit', options, async () => {
  await using own = await durableDatabase()
  await using it = await openEngine(own.dsn)
  const limit = { limit: 7, perMs: 160 }
  const at: number[] = []
  while (at.length < 60) {
    const { granted, dueIn } = (await takeRate(it.db, 1, new Map([['', 3]]), limit)).get('')!
    const row = await it.db.queryOne<{ ms: number }>(
      `select slot::float8 * width as ms from sluice.rate where key = ''`,
    )
    // The beginning of the slot stands for the start: what is a window apart in it is nearly so in truth.
    for (let n = 0; n < granted; n++) at.push(row!.ms)
    if (granted === 0) await it.engine.clock.sleep(dueIn)
  }
  for (const [n, from] of at.entries()) {
    const within = at.slice(n).filter((ms) => ms - from < limit.perMs).length
    assert.ok(within <= limit.limit, `${within} in one window`)
  }
})

test('four processes together never run more than the limits allow', options, async () => {
  await using it = await testJobs()
  await using peers = await fourProcesses(it)
  const keys = ['a', 'b', 'c']
  await it.jobs.enqueueMany(
    Few,
    Array.from({ length: 120 }, () => ({ data: { key: 'all' } })),
  )
  await it.jobs.enqueueMany(
    TwoByKey,
    Array.from({ length: 90 }, (_, n) => ({ data: { key: keys[n % 3]! }, key: keys[n % 3]! })),
  )
  await peers.done(`select sum(done) from running`, 210)
  const rows = await it.db.query<{ key: string; most: number; done: number }>(
    'select key, most, done from running order by key',
  )
  assert.deepEqual(
    rows.map(({ key, done }) => [key, done]),
    [
      ['a', 30],
      ['all', 120],
      ['b', 30],
      ['c', 30],
    ],
  )
  for (const { key, most } of rows) assert.ok(most <= (key === 'all' ? 3 : 2), `${key}: ${most} at once`)
})

test('four processes together never start more in a window than the limits allow', options, async () => {
  await using it = await testJobs()
  await using peers = await fourProcesses(it)
  const keys = ['a', 'b']
  const begin = (await it.db.queryOne<{ ms: number }>(NOW))!.ms
  await it.jobs.enqueueMany(
    Often,
    Array.from({ length: 100 }, () => ({ data: { key: 'all' } })),
  )
  await it.jobs.enqueueMany(
    OftenByKey,
    Array.from({ length: 12 }, (_, n) => ({ data: { key: keys[n % 2]! }, key: keys[n % 2]! })),
  )
  await peers.done('select count(*) from starts', 112)
  for (const [key, count, { limit, per }] of [
    ['all', 100, RATE],
    ['a', 6, KEY_RATE],
    ['b', 6, KEY_RATE],
  ] as const) {
    const rows = await it.db.query<{ ms: number }>(
      'select extract(epoch from at)::float8 * 1000 as ms from starts where key = $1 order by at',
      [key],
    )
    assert.equal(rows.length, count)
    // A start may be seen late, but never early: so many at most by then, however slow the machine.
    for (const [n, { ms }] of rows.entries()) {
      const most = limit * (Math.floor((ms - begin) / per) + 1)
      assert.ok(n < most, `${key}: ${n + 1} of at most ${most} within ${ms - begin} ms`)
    }
  }
})

test('while a rate holds nobody asks for it, whatever hints come', options, async () => {
  await using it = await testJobs()
  const ran: number[] = []
  const three = Promise.withResolvers<void>()
  const Rare = Object.freeze({
    ...Often,
    name: 'rare',
    queue: 'rare',
    rate: { limit: 3, perMs: 3_600_000, by: 'queue' } as const,
  })
  it.jobs.handle(Rare, () => {
    if (ran.push(1) === 3) three.resolve()
  })
  await it.jobs.enqueueMany(
    Rare,
    Array.from({ length: 5 }, () => ({ data: { key: 'x' } })),
  )
  await three.promise
  // A row that is written gets another place, so that asking would show.
  const place = () => it.db.queryOne('select ctid::text, xmin::text from sluice.rate')
  const tried = Promise.withResolvers<void>()
  const Other = Object.freeze({ ...Often, name: 'other', queue: 'other', rate: undefined })
  it.jobs.handle(Other, () => tried.resolve())
  await it.jobs.enqueue(Rare, { key: 'x' })
  await it.jobs.enqueue(Other, { key: 'x' })
  await tried.promise
  const before = await place()
  for (let n = 0; n < 20; n++) await it.jobs.enqueue(Rare, { key: 'x' })
  assert.deepEqual(await place(), before)
  assert.equal(ran.length, 3)
})

const NOW = 'select extract(epoch from clock_timestamp())::float8 * 1000 as ms'

type TestJobs = Awaited<ReturnType<typeof testJobs>>

interface Processes extends AsyncDisposable {
  /** Resolves when the query says so many. */
  done(query: string, count: number): Promise<void>
}

async function fourProcesses({ db, dsn }: TestJobs): Promise<Processes> {
  await db.script(`create table running (key text primary key, now int, most int, done int not null default 0);
    create table starts (key text, at timestamptz not null default clock_timestamp());
    create function tell() returns trigger language plpgsql as 'begin notify counted; return null; end';
    create trigger tell after insert or update on running execute function tell();
    create trigger tell after insert or update on starts execute function tell();`)
  const children = Array.from({ length: 4 }, () =>
    fork(new URL('./limits-program.ts', import.meta.url), [dsn], {
      execArgv: ['--conditions=sluice-source'],
    }),
  )
  await Promise.all(children.map((child) => once(child, 'message')))
  return {
    async done(query, count) {
      let heard = Promise.withResolvers<void>()
      await using _listening = await db.listen('counted', () => heard.resolve())
      for (;;) {
        const [row] = await db.query<Record<string, string>>(query)
        if (Number(Object.values(row ?? {})[0]) === count) return
        await heard.promise
        heard = Promise.withResolvers()
      }
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(children.map((child) => end(child)))
    },
  }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill('SIGKILL')
  await once(child, 'exit')
}
