/** What the component promises on every server that it runs on: the same tests on a server and on the embedded one. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { hasCode, type ErrorCode } from '../../../src/core/errors.ts'
import type { Notification, Postgres, PostgresOptions } from '../../../src/components/postgres/index.ts'
import type { OpenComponent } from '../../../src/testing/connect-component.ts'
import { table, unique } from './support.ts'

export type Connect = (options?: PostgresOptions) => Promise<OpenComponent<Postgres>>

const code = (expected: ErrorCode) => (error: unknown) => hasCode(error, expected)

export function conformance(connect: Connect, skip: false | string): void {
  everydayConformance(connect, skip)
  databases(connect, skip)
  migrations(connect, skip)
}

/** What needs no more rights than to create tables in one schema. */
export function everydayConformance(connect: Connect, skip: false | string): void {
  queries(connect, skip)
  transactions(connect, skip)
  manyRows(connect, skip)
  notifications(connect, skip)
  builders(connect, skip)
}

function queries(connect: Connect, skip: false | string): void {
  test('a query gives its rows, queryOne the first of them, execute their number', { skip }, async () => {
    await using made = await connect()
    const db = made.api
    assert.deepEqual(await db.query('select $1::int as n, $2::text as t', [1, 'a']), [{ n: 1, t: 'a' }])
    assert.equal((await db.queryOne<{ n: number }>('select 7 as n'))?.n, 7)
    assert.equal(await db.queryOne('select 1 where false'), undefined)
    assert.equal(await db.execute('select * from generate_series(1, 4)'), 4)
  })

  test('insert, update and delete say how many rows they touched', { skip }, async () => {
    await using made = await connect()
    const db = made.api
    await using t = await table(db, 'n int')
    assert.equal(await db.insert(`insert into ${t.name} values ($1), ($2)`, [1, 2]), 2)
    assert.equal(await db.update(`update ${t.name} set n = n + 1`), 2)
    assert.equal(await db.delete(`delete from ${t.name} where n = $1`, [3]), 1)
  })

  test('a failing statement leaves those sent with it alone', { skip }, async () => {
    await using made = await connect({ maxOpenConns: 1 })
    const results = await Promise.allSettled(
      Array.from({ length: 30 }, (_, n) => made.api.query('select 10 / $1::int as q', [n % 3])),
    )
    for (const [index, each] of results.entries()) {
      assert.equal(each.status, index % 3 === 0 ? 'rejected' : 'fulfilled')
      if (each.status === 'rejected') assert.ok(hasCode(each.reason, 'SLUICE_QUERY'))
    }
  })

  test(
    'a statement that acts on one connection is refused with the call that has one',
    { skip },
    async () => {
      await using made = await connect()
      for (const sql of ['begin', '/* x */ COMMIT', "set search_path = 'a'", 'listen x', '-- c\nrollback']) {
        await assert.rejects(made.api.query(sql), code('SLUICE_INVALID_ARGUMENT'), sql)
      }
      await assert.rejects(made.api.query('select 1; begin'), code('SLUICE_QUERY'))
      await assert.rejects(made.api.query('  '), code('SLUICE_INVALID_ARGUMENT'))
    },
  )

  test('a slow statement does not keep quick ones waiting', { skip }, async () => {
    await using made = await connect({ maxOpenConns: 3 })
    const db = made.api
    await db.query('select 1 as n')
    const slow = db.query('select pg_sleep(30)', [], { idempotent: true })
    slow.catch(() => {})
    for (let n = 0; n < 50; n++) await db.query('select 1 as n')
    assert.equal(slow.status, 'pending')
    slow.cancel()
  })

  test(
    'a statement that is slow once does not hold up those that were sent behind it',
    { skip },
    async () => {
      await using made = await connect({ maxOpenConns: 3 })
      const db = made.api
      const sleep = (seconds: number) => db.query('select pg_sleep($1)', [seconds], { idempotent: true })
      for (let n = 0; n < 20; n++) await sleep(0)
      const slow = sleep(30)
      slow.catch(() => {})
      await Promise.all(Array.from({ length: 20 }, () => sleep(0)))
      assert.equal(slow.status, 'pending')
      slow.cancel()
    },
  )

  test('a prepared statement survives a change of its table', { skip }, async () => {
    await using made = await connect({ maxOpenConns: 1 })
    const db = made.api
    await using t = await table(db, 'a int')
    await db.insert(`insert into ${t.name} values (1)`)
    for (let n = 0; n < 3; n++) assert.deepEqual(await db.query(`select * from ${t.name}`), [{ a: 1 }])
    await db.execute(`alter table ${t.name} add column b int`)
    assert.deepEqual(await db.query(`select * from ${t.name}`), [{ a: 1, b: null }])
  })

  test('thousands of different statements do not pile up on the server', { skip }, async () => {
    await using made = await connect({ maxOpenConns: 1 })
    const db = made.api
    for (let n = 0; n < 300; n++) for (const _ of [1, 2, 3]) await db.query(`select ${n} as n`)
    const [row] = await db.query<{ count: string }>('select count(*) from pg_prepared_statements')
    assert.ok(Number(row?.count) <= 201, `${row?.count} prepared statements`)
  })

  test('errors name what failed and hold no value', { skip }, async () => {
    await using made = await connect()
    const db = made.api
    await using t = await table(db, 'email text unique, n int check (n > 0)')
    await db.insert(`insert into ${t.name} values ('hunter2', 1)`)
    const failures: readonly [string, ErrorCode][] = [
      [`insert into ${t.name} values ('hunter2', 1)`, 'SLUICE_CONFLICT'],
      [`insert into ${t.name} values ('x', -99)`, 'SLUICE_CONFLICT'],
      [`select 'hunter2'::int`, 'SLUICE_QUERY'],
      [`select * from nowhere_${t.name}`, 'SLUICE_QUERY'],
      [`select jsonb_path_query('{}', 'hunter2')`, 'SLUICE_QUERY'],
    ]
    for (const [sql, expected] of failures) {
      await assert.rejects(db.query(sql), (error) => {
        assert.ok(hasCode(error, expected), sql)
        const cause = error.cause as Error
        for (const text of [error.message, cause.message, cause.stack, JSON.stringify(error.details)]) {
          assert.ok(text?.includes('hunter2') === false || sql.startsWith('select jsonb'), text)
        }
        return true
      })
    }
    await assert.rejects(
      db.insert(`insert into ${t.name} values ($1, 1)`, ['hunter2']),
      (error: Error & { details?: { constraint?: string } }) =>
        error.details?.constraint === `${t.name}_email_key`,
    )
  })

  test('a session keeps what is set on it, and nobody else finds it', { skip }, async () => {
    await using made = await connect({ maxOpenConns: 2 })
    const db = made.api
    const zone = await db.session(async (session) => {
      await session.execute("set timezone to 'Asia/Tokyo'")
      await session.script('create temp table scratch (n int); insert into scratch values (1)')
      assert.equal(await session.execute('select * from scratch'), 1)
      return session.queryOne<{ TimeZone: string }>('show timezone')
    })
    assert.equal(zone?.TimeZone, 'Asia/Tokyo')
    for (let n = 0; n < 4; n++) {
      const row = await db.queryOne<{ TimeZone: string }>('show timezone')
      assert.notEqual(row?.TimeZone, 'Asia/Tokyo')
    }
  })

  test('a script runs several statements, all or none', { skip }, async () => {
    await using made = await connect()
    const db = made.api
    const name = unique('s')
    await db.script(`create table ${name} (n int); insert into ${name} values (1), (2)`)
    await assert.rejects(db.script(`insert into ${name} values (3); select 1/0`), code('SLUICE_QUERY'))
    assert.equal(await db.execute(`select * from ${name}`), 2)
    await db.execute(`drop table ${name}`)
  })
}

function transactions(connect: Connect, skip: false | string): void {
  test('a transaction commits what resolved and undoes what rejected', { skip }, async () => {
    await using made = await connect()
    const db = made.api
    await using t = await table(db, 'n int')
    const committed: string[] = []
    const value = await db.transaction(async (tx) => {
      await tx.insert(`insert into ${t.name} values (1)`)
      tx.afterCommit(() => void committed.push('first'))
      await assert.rejects(
        tx.transaction(async (inner) => {
          await inner.insert(`insert into ${t.name} values (2)`)
          throw new Error('undo me')
        }),
        { message: 'undo me' },
      )
      await tx.transaction((inner) => inner.insert(`insert into ${t.name} values (4)`))
      return 'done'
    })
    assert.equal(value, 'done')
    await assert.rejects(
      db.transaction(async (tx) => {
        tx.afterCommit(() => void committed.push('never'))
        await tx.insert(`insert into ${t.name} values (3)`)
        throw new Error('no')
      }),
      { message: 'no' },
    )
    assert.deepEqual(await db.query(`select n from ${t.name} order by n`), [{ n: 1 }, { n: 4 }])
    assert.deepEqual(committed, ['first'])
  })

  test('a transaction whose failed statement was swallowed is no success', { skip }, async () => {
    await using made = await connect()
    const db = made.api
    await using t = await table(db, 'n int')
    await assert.rejects(
      db.transaction(async (tx) => {
        await tx.insert(`insert into ${t.name} values (1)`)
        await tx.query('select 1/0').catch(() => {})
      }),
      (error) => hasCode(error, 'SLUICE_QUERY') && hasCode(error.cause, 'SLUICE_QUERY'),
    )
    assert.equal(await db.execute(`select * from ${t.name}`), 0)
  })

  test('what a transaction sent and did not await is part of it', { skip }, async () => {
    await using made = await connect()
    const db = made.api
    await using t = await table(db, 'n int')
    await db.transaction(async (tx) => {
      void tx.insert(`insert into ${t.name} values (1)`)
      void tx.insert(`insert into ${t.name} values (2)`)
    })
    assert.equal(await db.execute(`select * from ${t.name}`), 2)
  })

  test('tx is closed once its function has settled', { skip }, async () => {
    await using made = await connect()
    const late = await made.api.transaction((tx) => Promise.resolve(tx))
    await assert.rejects(late.query('select 1'), code('SLUICE_CLOSED'))
    await assert.rejects(
      late.transaction(() => Promise.resolve()),
      code('SLUICE_CLOSED'),
    )
  })

  test('a transaction refuses to be ended from inside, and wrong options', { skip }, async () => {
    await using made = await connect()
    const db = made.api
    await assert.rejects(
      db.transaction((tx) => tx.query('commit')),
      code('SLUICE_INVALID_ARGUMENT'),
    )
    await assert.rejects(
      db.transaction(() => Promise.resolve(), { isolation: 'chaos' as never }),
      code('SLUICE_INVALID_ARGUMENT'),
    )
    await assert.rejects(
      db.transaction(() => Promise.resolve(), { retries: -1 }),
      code('SLUICE_INVALID_ARGUMENT'),
    )
    assert.equal(await db.transaction(() => Promise.resolve(1)), 1)
  })

  test('a read-only transaction refuses writes', { skip }, async () => {
    await using made = await connect()
    await using t = await table(made.api, 'n int')
    await assert.rejects(
      made.api.transaction((tx) => tx.insert(`insert into ${t.name} values (1)`), { readOnly: true }),
      code('SLUICE_READ_ONLY'),
    )
  })

  test('transactions that conflict are run again until each has had its way', { skip }, async () => {
    await using made = await connect({ maxOpenConns: 6 })
    const db = made.api
    await using t = await table(db, 'n int')
    await db.insert(`insert into ${t.name} values (0)`)
    let runs = 0
    let readers = 0
    const bothHaveRead = Promise.withResolvers<void>()
    await Promise.all(
      Array.from({ length: 20 }, () =>
        db.transaction(
          async (tx) => {
            runs++
            const row = await tx.queryOne<{ n: number }>(`select n from ${t.name}`)
            // The first two write only when both have read, so that there is a conflict in every run of this test.
            if (++readers === 2) bothHaveRead.resolve()
            if (readers <= 2) await bothHaveRead.promise
            await tx.update(`update ${t.name} set n = $1`, [(row?.n ?? 0) + 1])
          },
          { isolation: 'serializable', retries: 20 },
        ),
      ),
    )
    assert.deepEqual(await db.query(`select n from ${t.name}`), [{ n: 20 }])
    assert.ok(runs > 20, 'there was no conflict to survive')
  })

  test('a deadlock is run again', { skip }, async () => {
    await using made = await connect()
    const db = made.api
    await using t = await table(db, 'id int primary key, n int')
    await db.insert(`insert into ${t.name} values (1, 0), (2, 0)`)
    const both = [Promise.withResolvers<void>(), Promise.withResolvers<void>()] as const
    const add = (first: number, second: number, mine: 0 | 1): Promise<number> =>
      db.transaction(async (tx) => {
        await tx.update(`update ${t.name} set n = n + 1 where id = $1`, [first])
        both[mine].resolve()
        if (tx.attempt === 1) await both[mine === 0 ? 1 : 0].promise
        return tx.update(`update ${t.name} set n = n + 1 where id = $1`, [second])
      })
    await Promise.all([add(1, 2, 0), add(2, 1, 1)])
    assert.deepEqual(await db.query(`select n from ${t.name}`), [{ n: 2 }, { n: 2 }])
  })

  test('a lock that was not to be had in time is waited for by running again', { skip }, async () => {
    await using made = await connect()
    const db = made.api
    await using t = await table(db, 'n int')
    await db.insert(`insert into ${t.name} values (0)`)
    const locked = Promise.withResolvers<void>()
    const release = Promise.withResolvers<void>()
    const holder = db.transaction(async (tx) => {
      await tx.update(`update ${t.name} set n = n + 1`)
      locked.resolve()
      await release.promise
    })
    await locked.promise
    let attempts = 0
    await db.transaction(async (tx) => {
      attempts = tx.attempt
      if (attempts === 2) {
        release.resolve()
        await holder
      }
      await tx.execute(`set local lock_timeout = '50ms'`)
      await tx.update(`update ${t.name} set n = n + 1`)
    })
    assert.equal(attempts, 2)
    assert.deepEqual(await db.query(`select n from ${t.name}`), [{ n: 2 }])
  })

  test(
    'transactions that use the database beside themselves do not wait for themselves',
    { skip },
    async () => {
      await using made = await connect({ maxOpenConns: 2 })
      const db = made.api
      await using t = await table(db, 'n int')
      await Promise.all(
        Array.from({ length: 8 }, (_, n) =>
          db.transaction(async (tx) => {
            await tx.insert(`insert into ${t.name} values ($1)`, [n])
            await db.query('select 1')
            await db.insert(`insert into ${t.name} values ($1)`, [100 + n])
          }),
        ),
      )
      assert.equal(await db.execute(`select * from ${t.name}`), 16)
    },
  )

  test('a transaction that runs when the component closes has its time to end', { skip }, async () => {
    await using made = await connect({ maxOpenConns: 2 })
    await using admin = await connect()
    const db = made.api
    await using t = await table(admin.api, 'n int')
    const first = Promise.withResolvers<void>()
    const goOn = Promise.withResolvers<void>()
    let runs = 0
    const running = db.transaction(async (tx) => {
      runs++
      await tx.insert(`insert into ${t.name} values (1)`)
      first.resolve()
      await goOn.promise
      await tx.insert(`insert into ${t.name} values (2)`)
      await tx.insert(`insert into ${t.name} values (3)`)
      return 'done'
    })
    await first.promise
    const closing = made.component.close(AbortSignal.timeout(10_000))
    goOn.resolve()
    assert.equal(await running, 'done')
    await closing
    assert.equal(runs, 1)
    assert.equal(await admin.api.execute(`select * from ${t.name}`), 3)
  })

  test('a transaction that cannot be run again fails with why it failed first', { skip }, async () => {
    await using made = await connect({ maxOpenConns: 2 })
    let runs = 0
    const running = made.api.transaction(async (tx) => {
      runs++
      const closing = made.component.close(AbortSignal.timeout(10_000))
      void closing.catch(() => {})
      await tx.script(`do $$ begin raise exception 'mine' using errcode = '40001'; end $$`)
    })
    await assert.rejects(running, (error) => {
      assert.match(String(error), /mine/)
      return code('SLUICE_CONFLICT')(error)
    })
    assert.equal(runs, 1)
  })

  test('an abort from inside a transaction gives its connection back', { skip }, async () => {
    await using made = await connect({ maxOpenConns: 2 })
    const controller = new AbortController()
    const reason = new Error('enough')
    const running = made.api.transaction(
      () => {
        controller.abort(reason)
        return new Promise(() => {})
      },
      { signal: controller.signal },
    )
    await assert.rejects(running, reason)
    // Leases may have one of two connections: this one would wait for ever.
    assert.equal(await made.api.transaction(() => Promise.resolve('next'), { timeout: '2s' }), 'next')
  })

  test('an aborted transaction is rolled back and leaves no connection inside one', { skip }, async () => {
    await using made = await connect({ maxOpenConns: 2 })
    const db = made.api
    await using t = await table(db, 'n int')
    const controller = new AbortController()
    const reason = new Error('enough')
    const running = db.transaction(
      async (tx) => {
        await tx.insert(`insert into ${t.name} values (1)`)
        controller.abort(reason)
        await new Promise(() => {})
      },
      { signal: controller.signal },
    )
    await assert.rejects(running, reason)
    assert.equal(await db.execute(`select * from ${t.name}`), 0)
    await db.insert(`insert into ${t.name} values (2)`)
    await assert.rejects(
      db.transaction(() => new Promise(() => {}), { timeout: 50 }),
      code('SLUICE_TIMEOUT'),
    )
    assert.equal(await db.execute(`select * from ${t.name}`), 1)
  })
}

function manyRows(connect: Connect, skip: false | string): void {
  test('a batch answers for each of its statements', { skip }, async () => {
    await using made = await connect()
    const db = made.api
    await using t = await table(db, 'n int primary key')
    const insert = (n: number) => ({ sql: `insert into ${t.name} values ($1) returning n`, params: [n] })
    const batch = db.batch([insert(1), insert(1), insert(2), `select count(*)::int as n from ${t.name}`])
    const { values, errors } = await batch.waitAll()
    assert.deepEqual(values, [[{ n: 1 }], undefined, [{ n: 2 }], [{ n: 2 }]])
    assert.ok(hasCode(errors[1], 'SLUICE_CONFLICT'))
    await assert.rejects(
      db.transaction(async (tx) => {
        const inside = await tx.batch([insert(3), insert(3), insert(4)]).waitAll()
        assert.ok(hasCode(inside.errors[2], 'SLUICE_QUERY'), 'the transaction has failed by then')
      }),
      code('SLUICE_QUERY'),
    )
    const wrong = await db.batch(['select 1', 'begin']).waitAll()
    assert.ok(wrong.errors.every((each) => hasCode(each, 'SLUICE_INVALID_ARGUMENT')))
    assert.match(String(wrong.errors[0]), /batch\[1\]/)
    assert.deepEqual(await db.batch([]).waitAll(), { values: [], errors: [] })
    assert.equal(await db.execute(`select * from ${t.name}`), 2)
  })

  test('insertMany inserts rows of every type in one statement', { skip }, async () => {
    await using made = await connect()
    const db = made.api
    await using t = await table(
      db,
      'id serial primary key, a text, b int8, c timestamptz, d jsonb, e bytea, f text[], g bool',
    )
    const at = new Date('2026-01-02T03:04:05.678Z')
    const rows = [
      {
        a: 'x"\'\\\u00e9',
        b: 9_007_199_254_740_993n,
        c: at,
        d: { k: [1] },
        e: Buffer.from([0, 255]),
        f: ['p', 'q'],
        g: true,
      },
      { a: null, b: 2, c: null, d: null, e: null, f: [], g: false },
    ]
    const made2 = await db.insertMany<{ id: number }>(t.name, rows, { returning: ['id'] })
    assert.deepEqual(made2, { count: 2, rows: [{ id: 1 }, { id: 2 }] })
    const [first] = await db.query(`select a, b, c, d, e, f, g from ${t.name} order by id`)
    assert.deepEqual(first, { ...rows[0], b: '9007199254740993' })
    assert.deepEqual(await db.insertMany(t.name, [{ id: 1, a: 'again' }], { onConflict: 'ignore' }), {
      count: 0,
      rows: [],
    })
    await assert.rejects(db.insertMany(t.name, [{ id: 1 }]), code('SLUICE_CONFLICT'))
  })

  test('insertMany refuses rows that differ, none at all, and names that are none', { skip }, async () => {
    await using made = await connect()
    const db = made.api
    const wrong = [
      db.insertMany('t', [{ a: 1 }, { b: 2 }]),
      db.insertMany('t', []),
      db.insertMany('', [{ a: 1 }]),
      db.insertMany('a.b.c', [{ a: 1 }]),
      db.insertMany('t', [{ ['x'.repeat(64)]: 1 }]),
    ]
    for (const each of wrong) await assert.rejects(each, code('SLUICE_INVALID_ARGUMENT'))
    await assert.rejects(db.insertMany('t" values (1); drop table x; --', [{ a: 1 }]), code('SLUICE_QUERY'))
  })

  test('a stream gives every row, a batch at a time, and closes when it is left', { skip }, async () => {
    await using made = await connect({ maxOpenConns: 2 })
    const db = made.api
    let sum = 0
    const all = db.stream<{ n: number }>('select n from generate_series(1, $1::int) n', [2_500], {
      batchSize: 100,
    })
    for await (const { n } of all) sum += n
    assert.equal(sum, 3_126_250)
    for (let round = 0; round < 5; round++) {
      for await (const { n } of db.stream<{ n: number }>('select generate_series(1, 100000000) as n')) {
        if (n === 3) break
      }
    }
    await assert.rejects(async () => {
      for await (const row of db.stream('select 1/(2 - n) as n from generate_series(1, 9) n')) void row
    }, code('SLUICE_QUERY'))
    const { inFlight, leased } = made.component.inspect()['connections'] as Record<string, number>
    assert.deepEqual({ inFlight, leased }, { inFlight: 0, leased: 0 })
  })

  test('streams run inside a transaction and see what it did', { skip }, async () => {
    await using made = await connect()
    await using t = await table(made.api, 'n int')
    await made.api.transaction(async (tx) => {
      await tx.insert(`insert into ${t.name} select generate_series(1, 10)`)
      let seen = 0
      for await (const row of tx.stream(`select * from ${t.name}`, [], { batchSize: 3 })) {
        void row
        if (++seen === 7) break
      }
      for await (const row of tx.stream(`select * from ${t.name}`)) seen += Object.keys(row).length
      assert.equal(seen, 17)
    })
  })

  test('an abort ends a stream', { skip }, async () => {
    await using made = await connect()
    const controller = new AbortController()
    const reason = new Error('enough')
    await assert.rejects(async () => {
      const rows = made.api.stream<{ n: number }>('select n from generate_series(1, 1000000) n', [], {
        signal: controller.signal,
      })
      for await (const { n } of rows) if (n === 10) controller.abort(reason)
    }, reason)
    assert.throws(() => made.api.stream('select 1', [], { batchSize: 0 }), code('SLUICE_INVALID_ARGUMENT'))
  })
}

function notifications(connect: Connect, skip: false | string): void {
  test(
    'a listener hears its channel in order, also from a transaction, and nothing after close',
    { skip },
    async () => {
      await using made = await connect()
      const db = made.api
      const channel = unique('Channel "x"')
      const heard: Notification[] = []
      const done = Promise.withResolvers<void>()
      const listening = await db.listen(channel, (notification) => {
        heard.push(notification)
        if (notification.payload === 'last') done.resolve()
      })
      await db.notify(channel, 'first')
      await db
        .transaction(async (tx) => {
          await tx.notify(channel, 'undone')
          throw new Error('no')
        })
        .catch(() => {})
      await db.transaction((tx) => tx.notify(channel, 'second'))
      await db.notify(channel, 'last')
      await done.promise
      assert.deepEqual(
        heard.map((each) => each.payload),
        ['first', 'second', 'last'],
      )
      assert.ok(heard.every((each) => each.channel === channel && !each.gap))
      await listening.close()
      await listening.close()
      await db.notify(channel, 'unheard')
      assert.equal(heard.length, 3)
      await assert.rejects(db.notify(channel, 'x'.repeat(8_000)), code('SLUICE_INVALID_ARGUMENT'))
      await assert.rejects(
        db.listen('', () => {}),
        code('SLUICE_INVALID_ARGUMENT'),
      )
    },
  )

  test('a handler that throws keeps nobody else from hearing', { skip }, async () => {
    await using made = await connect()
    const channel = unique('c')
    const heard = Promise.withResolvers<string>()
    await using one = await made.api.listen(channel, () => {
      throw new Error('mine')
    })
    await using two = await made.api.listen(channel, ({ payload }) => heard.resolve(payload))
    await made.api.notify(channel, 'both')
    assert.equal(await heard.promise, 'both')
    void one
    void two
  })
}

function builders(connect: Connect, skip: false | string): void {
  test('Kysely queries, transacts and nests through the component', { skip }, async () => {
    await using made = await connect()
    const db = made.api
    await using t = await table(db, 'id int primary key, name text')
    const kysely = db.kysely<Record<string, { id: number; name: string }>>()
    const inserted = await kysely.insertInto(t.name).values({ id: 1, name: 'a' }).executeTakeFirst()
    assert.equal(inserted.numInsertedOrUpdatedRows, 1n)
    await assert.rejects(
      kysely.transaction().execute(async (trx) => {
        await trx.insertInto(t.name).values({ id: 2, name: 'b' }).execute()
        throw new Error('undo')
      }),
      { message: 'undo' },
    )
    await kysely
      .transaction()
      .setIsolationLevel('serializable')
      .execute((trx) => trx.insertInto(t.name).values({ id: 3, name: 'c' }).execute())
    const rows = await kysely.selectFrom(t.name).select(['id']).orderBy('id').execute()
    assert.deepEqual(rows, [{ id: 1 }, { id: 3 }])
    const streamed: number[] = []
    for await (const { id } of kysely.selectFrom(t.name).select('id').orderBy('id').stream())
      streamed.push(id)
    assert.deepEqual(streamed, [1, 3])
    await db
      .transaction(async (tx) => {
        await tx.kysely<Record<string, { id: number; name: string }>>().deleteFrom(t.name).execute()
        throw new Error('undo')
      })
      .catch(() => {})
    assert.equal(await db.execute(`select * from ${t.name}`), 2)
  })

  test('Drizzle queries, transacts and nests through the component', { skip }, async () => {
    const { integer, pgTable, text, timestamp } = await import('drizzle-orm/pg-core')
    const { eq } = await import('drizzle-orm')
    await using made = await connect()
    const db = made.api
    await using t = await table(db, 'id int primary key, name text, at timestamptz')
    const things = pgTable(t.name, {
      id: integer().primaryKey(),
      name: text(),
      at: timestamp({ withTimezone: true }),
    })
    const drizzle = db.drizzle({ things })
    const at = new Date('2026-01-02T03:04:05Z')
    assert.deepEqual(await drizzle.insert(things).values({ id: 1, name: 'a', at }).returning(), [
      { id: 1, name: 'a', at },
    ])
    await drizzle.transaction(async (tx) => {
      await tx.insert(things).values({ id: 2, name: 'b' })
      await assert.rejects(
        tx.transaction(async (inner) => {
          await inner.insert(things).values({ id: 3, name: 'c' })
          inner.rollback()
        }),
      )
    })
    await assert.rejects(
      drizzle.transaction(async (tx) => {
        await tx.delete(things)
        throw new Error('undo')
      }),
      { message: 'undo' },
    )
    assert.equal(await drizzle.$count(things), 2)
    assert.equal((await drizzle.query.things.findFirst({ where: eq(things.id, 1) }))?.name, 'a')
    await assert.rejects(
      db.transaction(async (tx) => {
        const inside = tx.drizzle({ things })
        await inside.transaction((nested) => nested.insert(things).values({ id: 4 }))
        assert.equal(await inside.$count(things), 3)
        throw new Error('undo')
      }),
      { message: 'undo' },
    )
    assert.equal(await drizzle.$count(things), 2)
    const { inFlight, leased } = made.component.inspect()['connections'] as Record<string, number>
    assert.deepEqual({ inFlight, leased }, { inFlight: 0, leased: 0 })
  })
}

function databases(connect: Connect, skip: false | string): void {
  test('databases are created, used, closed and dropped while the program runs', { skip }, async () => {
    await using made = await connect()
    const db = made.api
    const name = unique('Tenant-')
    const tenant = await db.createDatabase(name)
    assert.deepEqual(db.databases(), [name])
    await tenant.script('create table notes (t text); insert into notes values (current_database())')
    assert.deepEqual(await db.database(name).query('select t from notes'), [{ t: name }])
    await assert.rejects(db.query('select t from notes'), code('SLUICE_QUERY'))
    await db.createDatabase(name)
    await db.dropDatabase(name)
    assert.deepEqual(db.databases(), [])
    assert.throws(() => db.database(name), code('SLUICE_INVALID_ARGUMENT'))
    await assert.rejects(tenant.query('select 1'), code('SLUICE_CLOSED'))
    await assert.rejects(db.createDatabase('x'.repeat(64)), code('SLUICE_INVALID_ARGUMENT'))
    await assert.rejects(db.removeDatabase('none'), code('SLUICE_INVALID_ARGUMENT'))
  })

  test(
    'a database that is not there fails its own calls only, and works once it is there',
    { skip },
    async () => {
      await using made = await connect()
      const db = made.api
      const name = unique('late')
      const late = db.addDatabase(name)
      await assert.rejects(late.query('select 1 as n'), code('SLUICE_UNAVAILABLE'))
      assert.deepEqual(await db.query('select 1 as n'), [{ n: 1 }])
      assert.deepEqual(made.losses, [])
      await db.createDatabase(name)
      assert.deepEqual(await late.query('select 1 as n'), [{ n: 1 }])
      await db.dropDatabase(name)
    },
  )
}

function migrations(connect: Connect, skip: false | string): void {
  test('migrations run once, in order, all of one or nothing, whoever comes first', { skip }, async () => {
    await using admin = await connect()
    const name = unique('m')
    await admin.api.createDatabase(name)
    try {
      const db = admin.api.database(name)
      const one = { name: '001', up: 'create table a (n int); insert into a values (1)' }
      const two = {
        name: '002',
        up: async (tx: { execute(sql: string): PromiseLike<number> }) =>
          void (await tx.execute('alter table a add b int')),
      }
      const bad = { name: '003', up: 'insert into a values (2, 2); select 1/0' }
      const [first, second] = await Promise.all([db.migrate([one, two]), db.migrate([one, two])])
      assert.deepEqual([...first, ...second].toSorted(), ['001', '002'])
      await assert.rejects(db.migrate([one, two, bad]), code('SLUICE_QUERY'))
      assert.equal(await db.execute('select * from a'), 1)
      await assert.rejects(db.migrate([{ ...one, up: 'select 1' }, two]), code('SLUICE_CONFLICT'))
      await assert.rejects(db.migrate([two]), code('SLUICE_CONFLICT'))
      await assert.rejects(db.migrate([one, two, { ...one }]), code('SLUICE_INVALID_ARGUMENT'))
      assert.deepEqual(await db.migrate([one, two, { name: '003', up: 'select 1' }]), ['003'])
    } finally {
      await admin.api.dropDatabase(name)
    }
  })

  test(
    'a migration that sets another search_path, as dumps do, is written down all the same',
    { skip },
    async () => {
      await using admin = await connect()
      const name = unique('m')
      await admin.api.createDatabase(name)
      try {
        const db = admin.api.database(name)
        const dump = {
          name: '001 from pg_dump',
          up: `set statement_timeout = 0; set row_security = off;
          select pg_catalog.set_config('search_path', '', false);
          create table public.a (n int)`,
        }
        const inCode = {
          name: '002',
          up: async (tx: { execute(sql: string): PromiseLike<number> }) => {
            await tx.execute('create schema other')
            await tx.execute('set local search_path to other')
            await tx.execute('create table b (n int)')
          },
        }
        const last = { name: '003', up: 'insert into a values (1)' }
        assert.deepEqual(await db.migrate([dump, inCode, last]), [dump.name, '002', '003'])
        assert.deepEqual(await db.migrate([dump, inCode, last]), [])
        assert.deepEqual(await db.query('select n from a'), [{ n: 1 }])
        const places = await db.query(
          "select schemaname as at from pg_tables where tablename = 'sluice_migrations'",
        )
        assert.deepEqual(places, [{ at: 'public' }])
      } finally {
        await admin.api.dropDatabase(name)
      }
    },
  )
}
