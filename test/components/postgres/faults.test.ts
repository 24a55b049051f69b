/** A bad network and a bad server between the component and PostgreSQL. Each test has a proxy of its own. */
import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import { test } from 'node:test'
import { systemClock } from '../../../src/core/clock.ts'
import { hasCode, type ErrorCode } from '../../../src/core/errors.ts'
import type { Listening, Postgres, PostgresOptions } from '../../../src/components/postgres/index.ts'
import type { OpenComponent } from '../../../src/testing/connect-component.ts'
import { startFaultProxy, type FaultProxy } from '../../../src/testing/fault-proxy.ts'
import { ManualClock } from '../../../src/testing/manual-clock.ts'
import { connected, dsnAt, opened, server, skip, table, unique } from './support.ts'

const code =
  (...expected: ErrorCode[]) =>
  (error: unknown) =>
    expected.some((each) => hasCode(error, each))

interface Behind extends AsyncDisposable {
  readonly proxy: FaultProxy
  readonly made: OpenComponent<Postgres>
  readonly db: Postgres
}

async function behindProxy(options: PostgresOptions = {}, seed = 1): Promise<Behind> {
  const { hostname, port } = new URL(server.url)
  const proxy = await startFaultProxy({ target: { host: hostname, port: Number(port || 5432) }, seed })
  const made = await connected({ ...options, dsn: dsnAt(proxy.port) }).catch(async (error: unknown) => {
    await proxy.close()
    throw error
  })
  return {
    proxy,
    made,
    db: made.api,
    async [Symbol.asyncDispose]() {
      proxy.heal()
      await made.close(AbortSignal.timeout(500))
      await proxy.close()
    },
  }
}

test('a server that is absent at first is connected to when it appears', { skip }, async () => {
  const { hostname, port } = new URL(server.url)
  await using proxy = await startFaultProxy({ target: { host: hostname, port: Number(port || 5432) } })
  await proxy.refuse()
  await using made = await opened({ dsn: dsnAt(proxy.port) })
  await assert.rejects(made.api.query('select 1'), code('SLUICE_NOT_READY'))
  await assert.rejects(made.connect(), code('SLUICE_UNAVAILABLE'))
  await assert.rejects(made.connect(), code('SLUICE_UNAVAILABLE'))
  await proxy.accept()
  await made.connect()
  assert.deepEqual(await made.api.query('select 1 as n'), [{ n: 1 }])
})

test('a server that accepts and says nothing fails the connect in time', { skip }, async () => {
  await using proxy = await startFaultProxy({ target: { host: '127.0.0.1', port: 5432 } })
  proxy.blackhole()
  await using made = await opened({ dsn: dsnAt(proxy.port), connectTimeout: 100 })
  await assert.rejects(made.connect(), code('SLUICE_TIMEOUT'))
  const reason = new Error('stop')
  const controller = new AbortController()
  await using slow = await opened({ dsn: dsnAt(proxy.port) })
  const connecting = slow.connect(controller.signal)
  controller.abort(reason)
  await assert.rejects(connecting, reason)
})

test('on a frozen server every call settles by its deadline, and later calls work', { skip }, async () => {
  await using it = await behindProxy({ queryTimeout: 300, transactionTimeout: 300 })
  const { db, proxy } = it
  await using t = await table(db, 'n int')
  for (let n = 0; n < 5; n++) await db.query('select 1 as n')
  proxy.blackhole()
  const calls = [
    ...Array.from({ length: 20 }, () => db.query('select 1 as n')),
    ...Array.from({ length: 5 }, () => db.insert(`insert into ${t.name} values (1)`)),
    db.transaction((tx) => tx.query('select 1')),
    db.session((session) => session.query('select 1')),
  ]
  let isOver = false
  const settling = Promise.allSettled(calls).then((all) => {
    isOver = true
    return all
  })
  // Timers of one event loop are late together, so that a busy machine does not decide.
  await systemClock.sleep(600)
  assert.ok(isOver, 'all have settled twice their limit after they began')
  const settled = await settling
  for (const each of settled) {
    assert.ok(each.status === 'rejected')
    assert.ok(
      code('SLUICE_TIMEOUT', 'SLUICE_UNAVAILABLE', 'SLUICE_NOT_READY', 'SLUICE_BREAKER_OPEN')(each.reason),
      String(each.reason),
    )
  }
  proxy.heal()
  proxy.reset()
  await recovered(it)
})

test('a write whose answer never came is told as unknown, and is not sent again', { skip }, async () => {
  await using it = await behindProxy()
  await using admin = await connected()
  await using t = await table(admin.api, 'n int')
  await it.db.query('select 1')
  it.proxy.intercept((bytes) => (bytes.includes('INSERT') ? 'reset' : bytes), 'down')
  await assert.rejects(it.db.insert(`insert into ${t.name} values (1)`), (error) => {
    assert.ok(hasCode(error, 'SLUICE_OUTCOME_UNKNOWN'))
    assert.equal(error.retryable, false)
    return true
  })
  it.proxy.heal()
  assert.equal(await admin.api.execute(`select * from ${t.name}`), 1)
})

test(
  'a commit whose answer was lost is told as unknown, and the function is not run again',
  { skip },
  async () => {
    await using it = await behindProxy()
    await using admin = await connected()
    await using t = await table(admin.api, 'n int')
    it.proxy.intercept((bytes) => (bytes.includes('COMMIT') ? 'reset' : bytes), 'down')
    let runs = 0
    await assert.rejects(
      it.db.transaction(async (tx) => {
        runs++
        await tx.insert(`insert into ${t.name} values (1)`)
      }),
      code('SLUICE_OUTCOME_UNKNOWN'),
    )
    assert.equal(runs, 1)
    assert.equal(await admin.api.execute(`select * from ${t.name}`), 1)
  },
)

test('a transaction that loses its connection before the commit is run again', { skip }, async () => {
  await using it = await behindProxy()
  await using admin = await connected()
  await using t = await table(admin.api, 'n int')
  let runs = 0
  await it.db.transaction(async (tx) => {
    runs++
    await tx.insert(`insert into ${t.name} values (1)`)
    if (runs === 1) it.proxy.reset()
    await tx.insert(`insert into ${t.name} values (2)`)
  })
  assert.equal(runs, 2)
  assert.equal(await admin.api.execute(`select * from ${t.name}`), 2)
})

test('a result that is cut off fails, and a read is sent again', { skip }, async () => {
  await using it = await behindProxy({ maxOpenConns: 2 })
  let resets = 0
  let seen = 0
  it.proxy.intercept((bytes) => {
    // In sum, because how an answer is cut into chunks is the network's business.
    seen += bytes.length
    if (seen > 10_000 && resets < 1) {
      resets++
      return 'reset'
    }
    return bytes
  }, 'down')
  const rows = await it.db.query<{ n: number }>('select n, repeat($1, 100) from generate_series(1, 1000) n', [
    'x',
  ])
  assert.equal(rows.length, 1_000)
  assert.equal(resets, 1)
  resets = 0
  seen = 0
  await assert.rejects(
    async () => {
      for await (const row of it.db.stream(`select n, repeat('x', 1000) from generate_series(1, 10000) n`))
        void row
    },
    code('SLUICE_UNAVAILABLE', 'SLUICE_OUTCOME_UNKNOWN'),
  )
})

test('answers in pieces of one byte are read as they are', { skip }, async () => {
  await using it = await behindProxy()
  it.proxy.slice(1)
  const texts = ['', 'é', '\u{1f600}', 'x'.repeat(500)]
  for (const text of texts) assert.deepEqual(await it.db.query('select $1::text as t', [text]), [{ t: text }])
  await Promise.all(
    Array.from({ length: 20 }, async (_, n) =>
      assert.deepEqual(await it.db.query('select $1::int as n, 1 / nullif($1, -1) as m', [n]), [
        { n, m: n === 0 ? null : Math.trunc(1 / n) },
      ]),
    ).map((each) => each.catch((error: unknown) => assert.ok(hasCode(error, 'SLUICE_QUERY')))),
  )
})

test('bytes that are garbage end a connection and never the process', { skip }, async () => {
  const survive = async (seed: number): Promise<void> => {
    await using it = await behindProxy({ queryTimeout: 250, transactionTimeout: 250, maxOpenConns: 2 }, seed)
    it.proxy.corrupt({ every: 10 + seed })
    const calls = Array.from({ length: 10 }, (_, n) =>
      it.db.query('select $1::int as n, $2::text as t', [n, 'some text']),
    )
    const settled = await Promise.allSettled([...calls, it.db.transaction((tx) => tx.query('select 1'))])
    for (const each of settled) {
      if (each.status === 'rejected')
        assert.match(String((each.reason as { code?: string }).code), /^SLUICE_/)
    }
  }
  // Ten at once: the server has a hundred connections, and other tests need some.
  for (let seed = 1; seed <= 40; seed += 10) {
    await Promise.all(Array.from({ length: 10 }, (_, n) => survive(seed + n)))
  }
})

test('connections reset again and again leave nothing behind', { skip }, async () => {
  await using it = await behindProxy({ maxOpenConns: 4 })
  const controller = new AbortController()
  let works = true
  let done = 0
  const caller = async (): Promise<void> => {
    while (works) {
      await it.db.query('select 1 as n', [], { signal: controller.signal }).then(
        () => done++,
        () => new Promise((resolve) => setImmediate(resolve)),
      )
    }
  }
  const callers = Array.from({ length: 10 }, caller)
  for (let round = 0; round < 200; round++) {
    it.proxy.reset()
    if (it.made.phase !== 'ready') await it.made.connect().catch(() => {})
    await it.db.query('select 2 as n').catch(() => {})
  }
  works = false
  await Promise.all(callers)
  await recovered(it)
  assert.ok(done > 0)
  assert.equal(getEventListeners(controller.signal, 'abort').length, 0)
  const { open, inFlight, waiting } = it.made.component.inspect()['connections'] as Record<string, number>
  assert.ok((open ?? 0) <= 4)
  assert.deepEqual({ inFlight, waiting }, { inFlight: 0, waiting: 0 })
  assert.ok(it.proxy.counts.open <= 4, `${it.proxy.counts.open} connections at the proxy`)
})

test('a slow network makes no storm of repeated statements', { skip }, async () => {
  await using it = await behindProxy({ maxOpenConns: 4 })
  await it.db.query('select count(*) from generate_series(1, 10)')
  let sent = 0
  it.proxy.intercept((bytes) => {
    // Each statement ends with one Sync.
    for (let at = bytes.indexOf('S\0\0\0\x04'); at !== -1; at = bytes.indexOf('S\0\0\0\x04', at + 1)) sent++
    return bytes
  }, 'up')
  it.proxy.latency(30, { jitter: 24 })
  const calls = 200
  // A stall of this process looks like a slow server, and may cost one round; a storm would be in each of them.
  for (let round = 0; round < 5; round++) {
    sent = 0
    await Promise.all(
      Array.from({ length: 20 }, async () => {
        for (let n = 0; n < calls / 20; n++) await it.db.query('select count(*) from generate_series(1, 10)')
      }),
    )
    assert.ok(sent >= calls, `${sent} statements for ${calls} calls`)
    if (sent <= calls * 1.1) return
  }
  assert.fail(`${sent} statements for ${calls} calls`)
})

test('connections that the server ends are replaced, and work goes on', { skip }, async () => {
  const name = unique('kill')
  const dsn = new URL(server.url)
  dsn.searchParams.set('application_name', name)
  await using made = await connected({ dsn: dsn.href, maxOpenConns: 5 })
  await using admin = await connected()
  await using t = await table(admin.api, 'n int primary key')
  const total = 400
  let next = 0
  const insertOnce = async (n: number): Promise<void> => {
    for (let sentBefore = false; ;) {
      if (made.phase !== 'ready') await made.connect().catch(() => {})
      try {
        await made.api.transaction((tx) => tx.insert(`insert into ${t.name} values ($1)`, [n]))
        return
      } catch (error) {
        // The commit whose answer was lost had taken place.
        if (sentBefore && hasCode(error, 'SLUICE_CONFLICT')) return
        if (hasCode(error, 'SLUICE_OUTCOME_UNKNOWN')) sentBefore = true
        else assert.ok(code('SLUICE_UNAVAILABLE', 'SLUICE_NOT_READY')(error), String(error))
      }
    }
  }
  const killAll = () =>
    admin.api.execute('select pg_terminate_backend(pid) from pg_stat_activity where application_name = $1', [
      name,
    ])
  let killed = 0
  const worker = async (): Promise<void> => {
    for (let n = next++; n < total; n = next++) {
      if (n % 20 === 10) killed += await killAll()
      await insertOnce(n)
    }
  }
  await Promise.all(Array.from({ length: 8 }, worker))
  assert.ok(killed >= 20, `${killed} connections were ended`)
  assert.equal(await admin.api.execute(`select * from ${t.name}`), total)
})

test('a server without connections left is told, and those who have one go on', { skip }, async () => {
  await using admin = await connected()
  const role = unique('few')
  await admin.api.execute(`create role ${role} login connection limit 2`)
  try {
    const dsn = new URL(server.url)
    dsn.username = role
    await using made = await connected({ dsn: dsn.href, maxOpenConns: 6, transactionTimeout: 300 })
    const release = Promise.withResolvers<void>()
    const holders = Array.from({ length: 2 }, () =>
      made.api.transaction(
        async (tx) => {
          await tx.query('select 1')
          await release.promise
        },
        { timeout: '30s' },
      ),
    )
    await using late = await opened({ dsn: dsn.href })
    while (((made.component.inspect()['connections'] as Record<string, number>)['leased'] ?? 0) < 2) {
      await new Promise((resolve) => setImmediate(resolve))
    }
    await assert.rejects(late.connect(), code('SLUICE_OVERLOADED'))
    await assert.rejects(
      made.api.transaction((tx) => tx.query('select 1')),
      code('SLUICE_TIMEOUT'),
    )
    assert.equal(made.phase, 'ready')
    release.resolve()
    await Promise.all(holders)
    await made.api.query('select 1')
  } finally {
    await admin.api.execute(`drop role ${role}`)
  }
})

test(
  'a server that turns read-only is told, and writes work once it is writable again',
  { skip },
  async () => {
    await using admin = await connected()
    const name = unique('ro')
    const tenant = await admin.api.createDatabase(name)
    try {
      await tenant.script('create table t (n int)')
      await admin.api.execute(`alter database ${name} set default_transaction_read_only = on`)
      await admin.api.execute('select pg_terminate_backend(pid) from pg_stat_activity where datname = $1', [
        name,
      ])
      await assert.rejects(
        untilConnected(() => tenant.insert('insert into t values (1)')),
        code('SLUICE_READ_ONLY'),
      )
      await admin.api.execute(`alter database ${name} reset default_transaction_read_only`)
      assert.equal(await untilConnected(() => tenant.insert('insert into t values (1)')), 1)
    } finally {
      await admin.api.dropDatabase(name)
    }
  },
)

test('a lock that is not to be had is a conflict that may be tried again', { skip }, async () => {
  await using made = await connected()
  const db = made.api
  await using t = await table(db, 'n int')
  const release = Promise.withResolvers<void>()
  const held = Promise.withResolvers<void>()
  const holder = db.transaction(async (tx) => {
    await tx.execute(`lock table ${t.name}`)
    held.resolve()
    await release.promise
  })
  await held.promise
  let runs = 0
  const other = db.transaction(async (tx) => {
    if (++runs === 2) release.resolve()
    if (runs === 2) await holder
    await tx.execute(`lock table ${t.name} nowait`)
  })
  await Promise.all([holder, other])
  assert.ok(runs >= 2)
  await assert.rejects(db.query(`select * from ${t.name} where n = 1/0`), code('SLUICE_QUERY'))
})

test('wrong credentials and a database that is not there are told as what they are', { skip }, async () => {
  const nobody = new URL(server.url)
  nobody.username = unique('nobody')
  await using one = await opened({ dsn: nobody.href })
  await assert.rejects(one.connect(), code('SLUICE_AUTH'))
  const nowhere = new URL(server.url)
  nowhere.pathname = `/${unique('nowhere')}`
  nowhere.password = 'hunter2'
  await using two = await opened({ dsn: nowhere.href })
  await assert.rejects(two.connect(), (error: Error & { hint?: string }) => {
    assert.match(error.message, /does not exist/)
    assert.ok(!JSON.stringify([error.message, error.stack, error.hint, error.cause]).includes('hunter2'))
    return hasCode(error, 'SLUICE_UNAVAILABLE')
  })
  await using three = await opened({ dsn: 'postgres://postgres@sluice.invalid/x', connectTimeout: '5s' })
  await assert.rejects(three.connect(), code('SLUICE_UNAVAILABLE', 'SLUICE_TIMEOUT'))
})

test('a listener that is cut off comes back, and tells of the gap', { skip }, async () => {
  await using it = await behindProxy()
  await using admin = await connected()
  const channel = unique('c')
  const heard: string[] = []
  let arrived = Promise.withResolvers<void>()
  await using listening = await it.db.listen(channel, ({ payload, gap }) => {
    heard.push(gap ? 'gap' : payload)
    arrived.resolve()
  })
  void listening
  const next = async (): Promise<void> => {
    await arrived.promise
    arrived = Promise.withResolvers()
  }
  await admin.api.notify(channel, 'one')
  await next()
  it.proxy.reset()
  await next()
  await admin.api.notify(channel, 'two')
  await next()
  assert.deepEqual(heard, ['one', 'gap', 'two'])
})

test('a channel that is asked for while the listener connects is heard', { skip }, async () => {
  await using it = await behindProxy()
  const [first, second] = [unique('a'), unique('b')]
  const heard = Promise.withResolvers<string>()
  const late = Promise.withResolvers<Listening>()
  // The self-test is the last thing that is sent while it connects.
  it.proxy.intercept((bytes) => {
    if (bytes.includes('notify "sluice_')) {
      late.resolve(it.db.listen(second, ({ payload }) => heard.resolve(payload)))
    }
    return bytes
  }, 'up')
  await using one = await it.db.listen(first, () => {})
  await using two = await late.promise
  it.proxy.heal()
  const end = unique('c')
  await using control = await it.db.listen(end, () => heard.resolve('nothing'))
  await it.db.notify(second, 'late')
  // Behind it on the same connection.
  await it.db.notify(end)
  assert.equal(await heard.promise, 'late')
  void [one, two, control]
})

test('listening to a channel twice waits for the server each time', { skip }, async () => {
  await using it = await behindProxy()
  await using one = await it.db.listen(unique('a'), () => {})
  let answered = 0
  it.proxy.intercept((bytes) => {
    if (bytes.includes('LISTEN')) answered++
    return bytes
  }, 'down')
  const channel = unique('b')
  const both = [it.db.listen(channel, () => {}), it.db.listen(channel, () => {})]
  const answers = both.map(async (each) => {
    await using listening = await each
    void listening
    return answered
  })
  assert.deepEqual(await Promise.all(answers), [1, 1])
  void one
})

test('closing the last channel and listening at once starts anew', { skip }, async () => {
  await using made = await connected()
  const [first, second] = [unique('a'), unique('b')]
  const one = await made.api.listen(first, () => {})
  const closing = one.close()
  const heard = Promise.withResolvers<string>()
  await using two = await made.api.listen(second, ({ payload }) => heard.resolve(payload))
  await closing
  await made.api.notify(second, 'heard')
  assert.equal(await heard.promise, 'heard')
  void two
})

test('the self-tests of a listener leave nothing on what lives as long as it', { skip }, async (t) => {
  const clock = new ManualClock()
  await using made = await connected({}, { clock })
  await using listening = await made.api.listen(unique('c'), () => {})
  const waiters = new WeakMap<object, number>()
  let most = 0
  const original = Object.getOwnPropertyDescriptor(Promise.prototype, 'then')
    ?.value as typeof Promise.prototype.then
  t.mock.method(Promise.prototype, 'then', function (this: Promise<unknown>, ...args: never[]) {
    const count = (waiters.get(this) ?? 0) + 1
    waiters.set(this, count)
    most = Math.max(most, count)
    return Reflect.apply(original, this, args) as unknown
  })
  for (let round = 0; round < 20; round++) {
    await clock.advance(10_000)
    // Its answer is behind the one of the self-test only in time; a few queries give it the turns that it needs.
    for (let n = 0; n < 3; n++) await made.api.query('select 1')
  }
  t.mock.restoreAll()
  assert.ok(most > 0 && most < 10, `${most} waiters of one promise`)
  void listening
})

/** Connects again, as the app would, until a query works. */
async function recovered({ made, db }: Behind): Promise<void> {
  for (;;) {
    if (made.phase !== 'ready') await made.connect().catch(() => {})
    try {
      await db.query('select 1 as n', [], { timeout: '2s' })
      return
    } catch (error) {
      assert.ok(
        code('SLUICE_UNAVAILABLE', 'SLUICE_NOT_READY', 'SLUICE_TIMEOUT', 'SLUICE_BREAKER_OPEN')(error),
        String(error),
      )
      await new Promise((resolve) => setImmediate(resolve))
    }
  }
}

/** Repeats while the connection is still the one that was ended. */
async function untilConnected<T>(fn: () => PromiseLike<T>): Promise<T> {
  for (;;) {
    try {
      return await fn()
    } catch (error) {
      if (!code('SLUICE_UNAVAILABLE', 'SLUICE_OUTCOME_UNKNOWN')(error)) throw error
    }
  }
}
