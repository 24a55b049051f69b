/** Which connections are kept, and when they go, on a real server and by hand-made time. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { hasCode, type ErrorCode } from '../../../src/core/errors.ts'
import type { Postgres } from '../../../src/components/postgres/index.ts'
import { silentLogger, type Logger } from '../../../src/telemetry/log.ts'
import type { OpenComponent } from '../../../src/testing/connect-component.ts'
import { startFaultProxy } from '../../../src/testing/fault-proxy.ts'
import { ManualClock } from '../../../src/testing/manual-clock.ts'
import { connected, dsnAt, opened, server, skip, table, unique } from './support.ts'

const code = (expected: ErrorCode) => (error: unknown) => hasCode(error, expected)

interface Stats {
  readonly open: number
  readonly idle: number
  readonly opening: number
  readonly leased: number
  readonly waiting: number
  readonly opened: number
}

function stats(made: OpenComponent<Postgres>): Stats {
  return made.component.inspect()['connections'] as unknown as Stats
}

/** Real sockets need real turns of the event loop; a limit keeps a mistake from turning for ever. */
async function until(condition: () => boolean, what: string): Promise<void> {
  const limit = performance.now() + 10_000
  while (!condition()) {
    if (performance.now() > limit) assert.fail(`never: ${what}`)
    await new Promise((resolve) => setImmediate(resolve))
  }
}

/** Holds `count` connections until the returned function is called. */
async function hold(made: OpenComponent<Postgres>, count: number): Promise<() => Promise<void>> {
  const release = Promise.withResolvers<void>()
  const held = Array.from({ length: count }, () => made.api.session(() => release.promise))
  await until(() => stats(made).leased === count, `${count} leased`)
  return async () => {
    release.resolve()
    await Promise.all(held)
  }
}

test('the warm minimum is opened at connect and kept', { skip }, async () => {
  const clock = new ManualClock()
  await using made = await connected({ minConns: 3, connMaxIdleTime: '1m' }, { clock })
  await until(() => stats(made).open === 3, 'three open')
  await clock.advance(600_000)
  assert.equal(stats(made).open, 3)
})

test('what grew under load goes when it is idle, down to the minimum', { skip }, async () => {
  const clock = new ManualClock()
  await using made = await connected({ maxOpenConns: 6, maxIdleConns: 6, connMaxIdleTime: '1m' }, { clock })
  const slow = Array.from({ length: 5 }, (_, n) => made.api.execute(`select pg_sleep(0.02), ${n}`))
  await until(() => stats(made).open === 5, 'five open')
  await Promise.all(slow)
  await clock.advance(50_000)
  assert.equal(stats(made).open, 5)
  await clock.advance(20_000)
  await until(() => stats(made).open === 1, 'one open')
})

test('no more idle connections are kept than allowed', { skip }, async () => {
  const clock = new ManualClock()
  await using made = await connected({ maxOpenConns: 6, maxIdleConns: 2 }, { clock })
  await Promise.all(Array.from({ length: 6 }, (_, n) => made.api.execute(`select pg_sleep(0.02), ${n}`)))
  // On a slow day the first connection has served them all before the others are there; those count all the same.
  await until(() => stats(made).opening === 0, 'all that were on their way are open')
  assert.ok(stats(made).open > 2)
  await clock.advance(3_000)
  await until(() => stats(made).open === 2, 'two open')
})

test('a connection is replaced when its life is over', { skip }, async () => {
  const clock = new ManualClock()
  await using made = await connected({ connMaxLifetime: '10m' }, { clock })
  const pid = async () => (await made.api.queryOne<{ pid: number }>('select pg_backend_pid() as pid'))?.pid
  const first = await pid()
  await clock.advance(9 * 60_000 - 1_000)
  assert.equal(await pid(), first, 'a life is at most a tenth shorter')
  // A sweep a second. Once the next one is on its way the clock stands still: the server answers in real time, and its
  // deadline is of this clock.
  for (let seconds = 0; stats(made).opening === 0 && stats(made).opened === 1; seconds++) {
    assert.ok(seconds <= 62, 'its life is over')
    await clock.advance(1_000)
  }
  await until(() => stats(made).open === 1 && stats(made).opened === 2, 'replaced')
  assert.notEqual(await pid(), first)
})

test('the pool never opens more than allowed, and who waits is served in turn', { skip }, async () => {
  await using made = await connected({ maxOpenConns: 3 })
  let most = 0
  const order: number[] = []
  await Promise.all(
    Array.from({ length: 30 }, async (_, n) => {
      await made.api.execute(`select pg_sleep(0.002), ${n}`)
      order.push(n)
      most = Math.max(most, stats(made).open)
    }),
  )
  assert.ok(most <= 3, `${most} open`)
  // One connection may have served them all before the others were there.
  await until(() => stats(made).opening === 0, 'all that were on their way are open')
  assert.equal(stats(made).open, 3)
  // Three at a time in the order of their calls: the twentieth is sent when eighteen have been answered.
  assert.ok(
    order.slice(0, 10).every((n) => n < 20),
    `served ${order.join(' ')}`,
  )
})

test('a write that waits for a lock holds up no read and no other write', { skip }, async () => {
  await using made = await connected({ maxOpenConns: 4 })
  const db = made.api
  await using t = await table(db, 'id int primary key, n int')
  await db.insert(`insert into ${t.name} values (1, 0), (2, 0)`)
  await db.transaction(async (tx) => {
    await tx.update(`update ${t.name} set n = 1 where id = 1`)
    const blocked = db.update(`update ${t.name} set n = n + 10 where id = 1`)
    for (let n = 0; n < 20; n++) await db.query(`select n from ${t.name} where id = $1`, [2])
    await db.update(`update ${t.name} set n = 5 where id = 2`)
    assert.equal(blocked.status, 'pending')
    tx.afterCommit(() => void blocked)
  })
})

test('an abort takes a waiting statement out before it is sent', { skip }, async () => {
  await using made = await connected({ maxOpenConns: 2 })
  await using t = await table(made.api, 'n int')
  const letGo = await hold(made, 1)
  const busy = made.api.execute('select pg_sleep(0.05)')
  const reason = new Error('not any more')
  const controller = new AbortController()
  const waiting = made.api.insert(`insert into ${t.name} values (1)`, [], { signal: controller.signal })
  await until(() => stats(made).waiting === 1, 'one waits')
  controller.abort(reason)
  await assert.rejects(waiting, reason)
  const late = made.api.insert(`insert into ${t.name} values (2)`)
  late.cancel()
  await assert.rejects(late, code('SLUICE_CANCELLED'))
  await busy
  await letGo()
  assert.equal(await made.api.execute(`select * from ${t.name}`), 0)
})

const COUNT = 'select count(*) from generate_series(1, $1::bigint)'

test('a write that gave up waiting takes no connection from the reads', { skip }, async () => {
  await using made = await connected({ maxOpenConns: 1 })
  // Known from here on, so that others may join its line.
  for (let n = 0; n < 2; n++) await made.api.query(COUNT, [1])
  const slow = made.api.query(COUNT, [3_000_000])
  const waiting = made.api.execute('select pg_sleep(0)')
  await until(() => stats(made).waiting === 1, 'one waits')
  waiting.cancel()
  await assert.rejects(waiting, code('SLUICE_CANCELLED'))
  await slow
  assert.deepEqual(await made.api.query('select 1 as n', [], { timeout: '2s' }), [{ n: 1 }])
})

test('a write that was served elsewhere takes no connection from the reads', { skip }, async () => {
  await using made = await connected({ maxOpenConns: 2, minConns: 2 })
  await until(() => stats(made).open === 2, 'two open')
  const count = (rows: number) => made.api.query(COUNT, [rows])
  for (let n = 0; n < 2; n++) await count(1)
  // Slow enough on average that the second one does not join the first one's line.
  await count(1_000_000)
  const slow = count(3_000_000)
  const quicker = count(500_000)
  const write = made.api.execute('select pg_sleep(0)')
  await until(() => stats(made).waiting === 1, 'one waits')
  await Promise.all([slow, quicker, write])
  const letGo = await hold(made, 1)
  assert.deepEqual(await made.api.query('select 1 as n', [], { timeout: '2s' }), [{ n: 1 }])
  await letGo()
})

test('a cancelled statement is cancelled at the server, too', { skip }, async () => {
  const name = unique('cancel')
  const dsn = new URL(server.url)
  dsn.searchParams.set('application_name', name)
  await using made = await connected({ dsn: dsn.href })
  await using admin = await connected()
  const running = async () =>
    admin.api.execute(
      `select 1 from pg_stat_activity where application_name = $1 and state = 'active' and query like '%sleep%'`,
      [name],
      { idempotent: false },
    )
  const slow = made.api.execute('select pg_sleep(60)')
  while ((await running()) === 0);
  slow.cancel()
  await assert.rejects(slow, code('SLUICE_CANCELLED'))
  while ((await running()) > 0);
  assert.deepEqual(await made.api.query('select 1 as n'), [{ n: 1 }])
})

test('close settles what waits, lets what runs finish, and closes every connection', { skip }, async () => {
  const made = await connected({ maxOpenConns: 2 })
  const running = made.api.execute('select pg_sleep(0.1)')
  const waiting = Array.from({ length: 5 }, (_, n) => made.api.execute(`select pg_sleep(0.1), ${n}`))
  const results = Promise.allSettled([running, ...waiting])
  await until(() => stats(made).open === 2, 'two open')
  await made.close()
  const settled = await results
  assert.equal(settled[0]?.status, 'fulfilled')
  assert.ok(settled.some((each) => each.status === 'rejected' && hasCode(each.reason, 'SLUICE_CLOSED')))
  assert.equal(stats(made).open, 0)
  await assert.rejects(made.api.query('select 1'))
  await made.close()
})

test('close before connect, and close during connect, leave nothing open', { skip }, async () => {
  const never = await opened()
  await never.close()
  const url = new URL(server.url)
  await using proxy = await startFaultProxy({
    target: { host: url.hostname, port: Number(url.port || 5432) },
  })
  proxy.blackhole()
  const made = await opened({ dsn: dsnAt(proxy.port) })
  const connecting = made.connect()
  const failed = assert.rejects(connecting)
  await proxy.nextConnection()
  await made.close()
  await failed
  // Behind a cut network the end of a connection does not arrive either.
  proxy.heal()
  await until(() => proxy.counts.open === 0, 'the proxy is empty')
})

test('a check takes the real path and keeps the number of connections', { skip }, async () => {
  const url = new URL(server.url)
  await using proxy = await startFaultProxy({
    target: { host: url.hostname, port: Number(url.port || 5432) },
  })
  await using made = await connected({ dsn: dsnAt(proxy.port) })
  for (let n = 0; n < 5; n++) await made.check()
  await until(() => stats(made).open === 1, 'one open')
  await proxy.refuse()
  assert.deepEqual(await made.api.query('select 1 as n'), [{ n: 1 }])
  await assert.rejects(made.check(), code('SLUICE_UNAVAILABLE'))
})

test('a check that is under way when the pool closes leaves nothing open', { skip }, async () => {
  const url = new URL(server.url)
  await using proxy = await startFaultProxy({
    target: { host: url.hostname, port: Number(url.port || 5432) },
  })
  await using made = await connected({ dsn: dsnAt(proxy.port) })
  const closing = Promise.withResolvers<Promise<void>>()
  // The answer to its first statement is the last thing that a new connection waits for.
  proxy.intercept((bytes) => {
    if (bytes.includes('SELECT 1')) closing.resolve(made.component.close(AbortSignal.timeout(10_000)))
    return bytes
  }, 'down')
  const checking = assert.rejects(made.component.check(new AbortController().signal), code('SLUICE_CLOSED'))
  await closing.promise
  await checking
  await until(() => proxy.counts.open === 0, 'the proxy is empty')
})

test('a check of a pool that is down fails, also when the server is back', { skip }, async () => {
  const url = new URL(server.url)
  await using proxy = await startFaultProxy({
    target: { host: url.hostname, port: Number(url.port || 5432) },
  })
  await using made = await connected({ dsn: dsnAt(proxy.port) })
  await proxy.refuse()
  proxy.reset()
  await until(() => made.losses.length > 0, 'lost')
  await proxy.accept()
  await assert.rejects(made.component.check(new AbortController().signal), code('SLUICE_UNAVAILABLE'))
  assert.equal(stats(made).open, 0)
})

test(
  'a pool that has lost everything and cannot connect says so once, and heals with connect',
  { skip },
  async () => {
    const url = new URL(server.url)
    await using proxy = await startFaultProxy({
      target: { host: url.hostname, port: Number(url.port || 5432) },
    })
    await using made = await connected({ dsn: dsnAt(proxy.port), minConns: 2 })
    await until(() => stats(made).open === 2, 'two open')
    await proxy.refuse()
    proxy.reset()
    await until(() => made.losses.length > 0, 'lost')
    await assert.rejects(made.api.query('select 1'), code('SLUICE_NOT_READY'))
    await assert.rejects(made.connect(), code('SLUICE_UNAVAILABLE'))
    await proxy.accept()
    await made.connect()
    assert.equal(made.losses.length, 1)
    assert.deepEqual(await made.api.query('select 1 as n'), [{ n: 1 }])
  },
)

test('a listener that hears nothing any more finds out by itself', { skip }, async () => {
  const clock = new ManualClock()
  const url = new URL(server.url)
  await using proxy = await startFaultProxy({
    target: { host: url.hostname, port: Number(url.port || 5432) },
  })
  await using made = await connected({ dsn: dsnAt(proxy.port) }, { clock })
  const gap = Promise.withResolvers<void>()
  await using listening = await made.api.listen(unique('c'), (notification) => {
    if (notification.gap) gap.resolve()
  })
  void listening
  // Cut without a word: the socket stays open and nothing arrives.
  for (const connection of proxy.connections) connection.blackhole()
  await clock.advance(10_000)
  await clock.advance(5_000)
  // The longest wait after a first failure. What follows happens in real time, so the clock, of which its deadlines
  // are, has to stand still.
  await clock.advance(200)
  await gap.promise
})

test('each series of metrics is there once, and holds neither statements nor values', { skip }, async () => {
  await using made = await connected({ connections: { other: server.url } })
  await made.api.query("select 'hunter2' as x, $1::text as y", ['hunter2'])
  await made.api.database('other').query('select 1')
  await made.api.transaction((tx) => tx.query('select 1'))
  const lines = made.metrics
    .expose()
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
  const series = lines.map((line) => line.slice(0, line.lastIndexOf(' ')))
  assert.deepEqual(
    series.filter((each, index) => series.indexOf(each) !== index),
    [],
  )
  assert.ok(
    lines.some((line) => /^sluice_postgres_connections\{.*state="open".*\} 2$/.test(line)),
    lines.join('\n'),
  )
  assert.ok(!lines.join().includes('hunter2') && !lines.join().includes('select'))
})

test('a broken database leaves the others alone', { skip }, async () => {
  await using made = await connected({ connections: { broken: 'postgres://postgres@127.0.0.1:1/x' } })
  const { api } = made
  for (let n = 0; n < 15; n++) {
    await assert.rejects(api.database('broken').query('select 1'), code('SLUICE_UNAVAILABLE'))
  }
  assert.deepEqual(await api.query('select 1 as n'), [{ n: 1 }])
  await api.removeDatabase('broken')
  assert.throws(() => api.database('broken'), code('SLUICE_INVALID_ARGUMENT'))
})

test('a named database may be called while it is still being opened', { skip }, async () => {
  const url = new URL(server.url)
  await using proxy = await startFaultProxy({
    target: { host: url.hostname, port: Number(url.port || 5432) },
  })
  proxy.latency(20)
  await using made = await connected({ connections: { other: dsnAt(proxy.port) } })
  assert.equal(await made.api.database('other').execute('select 1', [], { idempotent: false }), 1)
})

test('a named database that was not there at the connect heals when it is used', { skip }, async () => {
  const url = new URL(server.url)
  await using proxy = await startFaultProxy({
    target: { host: url.hostname, port: Number(url.port || 5432) },
  })
  await proxy.refuse()
  const told = Promise.withResolvers<void>()
  const log: Logger = { ...silentLogger, warn: () => told.resolve(), child: () => log }
  await using made = await connected({ connections: { other: dsnAt(proxy.port) } }, { log })
  await told.promise
  await proxy.accept()
  assert.deepEqual(await made.api.database('other').query('select 1 as n'), [{ n: 1 }])
})

test(
  'before it has connected every call is refused, and what was handed out works afterwards',
  { skip },
  async () => {
    await using made = await opened({ connections: { other: server.url } })
    const db = made.api
    const kysely = db.kysely<Record<string, { n: number }>>()
    const other = db.database('other')
    const refused: readonly (() => Promise<unknown>)[] = [
      () => db.query('select 1'),
      () => db.insertMany('t', [{ n: 1 }]),
      () => db.transaction((tx) => tx.query('select 1')),
      () => db.listen('c', () => {}),
      async () => {
        for await (const row of db.stream('select 1')) void row
      },
      () => kysely.selectFrom('pg_class').selectAll().execute(),
      () => other.query('select 1'),
      () => db.createDatabase('x'),
    ]
    for (const call of refused) await assert.rejects(call(), code('SLUICE_NOT_READY'), String(call))
    assert.ok(hasCode((await db.batch(['select 1']).waitAll()).errors[0], 'SLUICE_NOT_READY'))
    await made.connect()
    assert.deepEqual(await kysely.selectNoFrom((eb) => eb.lit(1).as('n')).execute(), [{ n: 1 }])
    assert.deepEqual(await other.query('select 1 as n'), [{ n: 1 }])
  },
)
