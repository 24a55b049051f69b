import assert from 'node:assert/strict'
import { test } from 'node:test'
import { hasCode } from '../../../src/core/errors.ts'
import {
  refuseInTransaction,
  refuseLasting,
  refuseOnShared,
} from '../../../src/components/postgres/connection-acts.ts'
import { describe, Statements } from '../../../src/components/postgres/statement.ts'

test('a select without locks, writes or unknown functions may share a connection', () => {
  const reads = [
    'select 1',
    '  SELECT a, count(*) FROM t WHERE b in (1, 2) and lower(c) = $1 group by a',
    '/* list */ (select 1) union (select 2)',
    'with x as (select 1) select * from x',
    'values (1), (2)',
    'table t',
    'show server_version',
    'select \'delete from t; for update\', "insert" from t -- update',
    'select $$drop$$, $x$call f()$x$',
    'select pg_catalog.lower($1)',
    'select updated_at, deleted from t',
    'select coalesce(sum(n), 0)::numeric(10, 2) from t join (select 1) x on (true)',
  ]
  for (const sql of reads) assert.equal(describe(sql).read, true, sql)
})

test('everything else goes on a connection of its own', () => {
  const others = [
    'insert into t values (1)',
    'update t set a = 1',
    'select * from t for update',
    'select * from t for no key update skip locked',
    'select * from t for share',
    'select * into x from t',
    'with x as (delete from t returning *) select * from x',
    'select create_order($1)',
    "select nextval('s')",
    'select pg_advisory_lock(1)',
    'select pg_sleep(1)',
    'explain analyze update t set a = 1',
    'call f()',
    'do $$ begin end $$',
    '',
  ]
  for (const sql of others) assert.equal(describe(sql).read, false, sql)
})

test('a call that only looks unlike one, or like a known one, is no read either', () => {
  const calls = [
    'select "charge"(1)',
    'select public."charge"(1)',
    'select "charge" /* now */ (1)',
    'with x as (select "charge"(1)) select * from x',
    'select списать(1)',
    'select lowerя(1)',
    'select public . lower(1)',
    'select "public" . lower(1)',
    'select lower\u00a0(1)',
    'select ran\u212a(1)',
    'select 1 -- note\rcharge(1)',
    "select 1 /* /* */ ' */, charge(1) --'",
    'select a$b$, charge(1), c$b$ from t',
    "select $я$ ' $я$, charge(1), ' '",
  ]
  for (const sql of calls) assert.equal(describe(sql).read, false, sql)
  const reads = [
    'select "a", lower("b") from "s"."t" as "x" where "c" in ($1, $2) and "d" = (select 1)',
    'with "x" as (select 1) select count("x".*) from "x"',
    "select 'a' || $я$(charge(1)$я$ from t where имя = 'b'",
    'select f.a from t f /* (x) */ where (f.b) = 1 and exists (select)',
  ]
  for (const sql of reads) assert.equal(describe(sql).read, true, sql)
})

test('what acts on a connection is refused on a shared one, what ends a transaction inside of one', () => {
  const refused = (fn: () => void): boolean => {
    try {
      fn()
      return false
    } catch (error) {
      assert.ok(hasCode(error, 'SLUICE_INVALID_ARGUMENT'))
      return true
    }
  }
  const cases: readonly [string, boolean, boolean][] = [
    ['begin', true, true],
    ['; commit', true, true],
    ['-- note\n  Start Transaction', true, true],
    ['end', true, true],
    ['prepare transaction $$x$$', true, true],
    ['rollback to savepoint x', true, true],
    ['set local statement_timeout = 1', true, false],
    ['lock table t', true, false],
    ['SET LOCAL ROLE ada', true, false],
    ['set transaction read only', true, false],
    ['set constraints all deferred', true, false],
    ['/* x */ set role ada', true, true],
    ["set session app.tenant = 'acme'", true, true],
    ['set local_of_mine.x = 1', true, true],
    ['reset all', true, true],
    ['discard temp', true, true],
    ['listen x', true, true],
    ['prepare x as select 1', true, true],
    ['deallocate all', true, true],
    ['declare c cursor for select 1', true, false],
    ['declare c cursor for with hold as (select 1) select * from hold', true, false],
    ['declare c cursor with hold for select 1', true, true],
    ["select set_config('a.b', $1, true)", false, false],
    ["select set_config('a.b', $1, false)", true, true],
    ["select pg_catalog.set_config('search_path', '', false)", true, true],
    ["insert into log values ('set_config(a, b, false)')", false, false],
    ["create function f() returns text return $$select set_config('a.b', 'c', false)$$", false, false],
    ['copy t from stdin', true, false],
    ["copy t to '/tmp/x'", false, false],
    ['select 1', false, false],
    ['endless', false, false],
    ['with commit as (select 1) select * from commit', false, false],
  ]
  for (const [sql, shared, inside] of cases) {
    assert.equal(
      refused(() => refuseOnShared(describe(sql))),
      shared,
      sql,
    )
    assert.equal(
      refused(() => refuseInTransaction(describe(sql))),
      inside,
      sql,
    )
  }
})

test('what outlives a transaction is refused with what does not', () => {
  const hintOf = (sql: string): string => {
    try {
      refuseLasting(describe(sql))
    } catch (error) {
      return (error as { hint?: string }).hint ?? ''
    }
    return 'not refused'
  }
  for (const sql of ['set role ada', 'reset role', "select set_config('a.b', 'c', false)"])
    assert.match(hintOf(sql), /SET LOCAL.*set_config\(name, value, true\)/)
  assert.match(hintOf('listen x'), /db\.listen/)
  assert.match(hintOf('prepare x as select 1'), /db\.session/)
  // A query builder begins and ends its transactions itself.
  assert.equal(hintOf('begin'), 'not refused')
})

test('a text that may leave something on its connection is known by its words', () => {
  const cases: readonly [string, boolean][] = [
    ["select set_config('a.b', $1, true)", false],
    ["select set_config('a.b', $1, $2)", true],
    ["select set_config('a.b', 'c', true), set_config('d.e', 'f', $1::bool)", true],
    ['select pg_advisory_xact_lock(1)', false],
    ['select pg_try_advisory_lock(1)', true],
    ["select set_config('a.b', $1, true), pg_advisory_lock(1)", true],
    ['create temp table t (n int)', true],
    ['create table t (n int)', false],
    ['do $$ begin set timezone to utc; end $$', true],
    ['do $$ begin perform 1; end $$', false],
    ['update t set a = 1', false],
  ]
  for (const [sql, leaves] of cases) assert.equal(describe(sql).leaves, leaves, sql)
})

test('a text is looked at once, and only so many are remembered', () => {
  const statements = new Statements()
  assert.equal(statements.of('select 1'), statements.of('select 1'))
  assert.equal(describe('select 1').name, describe('select 1').name)
  for (let n = 0; n < 5_000; n++) statements.of(`select ${n}`)
  assert.equal(statements.size, 2_000)
  const long = `select '${'x'.repeat(30_000)}'`
  assert.notEqual(statements.of(long), statements.of(long))
  for (const wrong of ['', ' \n', undefined, 7]) {
    assert.throws(
      () => statements.of(wrong as string),
      (error) => hasCode(error, 'SLUICE_INVALID_ARGUMENT'),
    )
  }
})
