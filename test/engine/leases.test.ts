/** Shards of one queue, shared by several engines on one database. The tests wait together. */
import assert from 'node:assert/strict'
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { suite, test } from 'node:test'
import type { Postgres } from '../../src/components/postgres/index.ts'
import { ShardLeases } from '../../src/engine/leases.ts'
import { shardQuota } from '../../src/engine/leases/quota.ts'
import { takeShards } from '../../src/engine/leases/statements.ts'
import { durableDatabase } from '../support/durable-database.ts'
import { aborted, Holder, openEngine } from './leases-support.ts'

const options = { timeout: 60_000 }
const SET = { kind: 'q', ref: 1 } as const

test('what each contender may hold differs by one at most and adds up to all shards', () => {
  for (const shards of [0, 1, 4, 7, 8, 64]) {
    for (let contenders = 1; contenders <= 70; contenders++) {
      const quotas = Array.from({ length: contenders }, (_, rank) => shardQuota(shards, contenders, rank))
      assert.equal(
        quotas.reduce((sum, each) => sum + each, 0),
        shards,
      )
      assert.ok(Math.max(...quotas) - Math.min(...quotas) <= 1)
    }
  }
  assert.equal(shardQuota(8, 0, 0), 0)
})

suite('leases of shards', { concurrency: 3 }, () => {
  test(
    'one engine takes all shards, two share them, and what is left behind is taken over',
    options,
    async () => {
      await using own = await durableDatabase()
      await using first = await openEngine(own.dsn)
      await using second = await openEngine(own.dsn)
      await using a = new Holder(first.engine, 8)
      await using b = new Holder(second.engine, 8)
      await a.leases.start()
      await a.holds(8)
      assert.deepEqual(
        a.leases.owned.map(({ shard }) => shard),
        [0, 1, 2, 3, 4, 5, 6, 7],
      )
      await b.leases.start()
      await Promise.all([a.holds(4), b.holds(4)])
      assert.deepEqual(
        [...a.shards, ...b.shards].toSorted((x, y) => x - y),
        [0, 1, 2, 3, 4, 5, 6, 7],
      )
      for (const lease of b.working.values())
        assert.equal(lease.epoch, '2', 'each change of hands raises the epoch')
      await a.leases.stop()
      assert.deepEqual(a.shards, [])
      await b.holds(8)
      assert.ok(
        b.taken.every(({ orphaned }) => !orphaned),
        'what was handed back is whole',
      )
    },
  )

  test('a shard changes hands only when the work on it has been finished', options, async () => {
    await using own = await durableDatabase()
    await using first = await openEngine(own.dsn)
    await using second = await openEngine(own.dsn)
    const finished = Promise.withResolvers<void>()
    await using a = new Holder(first.engine, 2, () => finished.promise)
    await using b = new Holder(second.engine, 2)
    await a.leases.start()
    await a.holds(2)
    const [, moving] = a.leases.owned
    await b.leases.start()
    await aborted(moving!.draining)
    // b has looked, and wants what a still works on.
    b.leases.look()
    assert.deepEqual(await owners(first.db), [first.engine.worker.lease?.id, first.engine.worker.lease?.id])
    assert.equal(moving!.signal.aborted, false)
    finished.resolve()
    await b.holds(1)
    assert.deepEqual(b.shards, [moving!.shard])
  })

  test(
    'a worker that is taken for dead loses its shards, and takes a share again as another',
    options,
    async () => {
      await using own = await durableDatabase()
      await using first = await openEngine(own.dsn)
      await using second = await openEngine(own.dsn)
      await using a = new Holder(first.engine, 4)
      await using b = new Holder(second.engine, 4)
      await Promise.all([a.leases.start(), b.leases.start()])
      await Promise.all([a.holds(2), b.holds(2)])
      const lost = a.leases.owned
      const epochs = new Map(lost.map(({ shard, epoch }) => [shard, Number(epoch)]))
      const emptied = a.holds(0)
      await markDead(first.db, first.engine.worker.lease!.id)
      for (const lease of lost) await aborted(lease.signal)
      await emptied
      // It registers anew, so that both have their share again; no shard is worked on under its old epoch.
      await Promise.all([a.holds(2), b.holds(2)])
      assert.equal(new Set([...a.shards, ...b.shards]).size, 4)
      for (const lease of [...a.working.values(), ...b.working.values()]) {
        const before = epochs.get(lease.shard)
        if (before !== undefined) assert.ok(Number(lease.epoch) > before)
      }
      const retaken = [...a.taken, ...b.taken].filter(
        ({ shard, epoch }) => Number(epoch) === (epochs.get(shard) ?? -9) + 1,
      )
      assert.equal(retaken.length, 2)
      assert.ok(
        retaken.every(({ orphaned }) => orphaned),
        'who takes over knows that work may be half done',
      )
    },
  )

  test('a lease whose row is another worker’s by now is lost', options, async () => {
    await using own = await durableDatabase()
    await using only = await openEngine(own.dsn)
    await using a = new Holder(only.engine, 2)
    await a.leases.start()
    await a.holds(2)
    const lease = a.working.get(1)!
    const left = a.working.get(0)!
    await only.db.execute(
      `update sluice.lease set owner = null, epoch = epoch + 1 where kind = 'q' and ref = 1 and shard = 1`,
    )
    a.leases.look()
    await aborted(lease.signal)
    assert.equal((lease.signal.reason as { code?: string }).code, 'SLUICE_LEASE_LOST')
    assert.equal(left.signal.aborted, false)
    await a.until(() => a.working.get(1)?.epoch === '3')
  })

  test('a process that is killed leaves its shards to the others', options, async () => {
    await using own = await durableDatabase()
    await using second = await openEngine(own.dsn)
    const child = fork(new URL('./leases-program.ts', import.meta.url), [own.dsn], {
      execArgv: ['--conditions=sluice-source'],
    })
    try {
      const [worker] = (await once(child, 'message')) as [string]
      await using b = new Holder(second.engine, 4)
      await b.leases.start()
      await b.holds(2)
      child.kill('SIGKILL')
      await once(child, 'exit')
      await markDead(second.db, worker)
      await b.holds(4)
      const orphans = b.taken.filter(({ orphaned }) => orphaned)
      assert.equal(orphans.length, 2)
    } finally {
      child.kill('SIGKILL')
    }
  })

  test('a worker whose row is dead takes nothing', options, async () => {
    await using own = await durableDatabase()
    await using first = await openEngine(own.dsn)
    await using second = await openEngine(own.dsn)
    await using a = new Holder(first.engine, 2)
    await a.leases.start()
    await a.holds(2)
    await a.leases.stop()
    const { id } = second.engine.worker.lease!
    assert.equal((await takeShards(first.db, SET, id, 1, [])).length, 1)
    await markDead(first.db, id)
    assert.deepEqual(await takeShards(first.db, SET, id, 2, []), [])
  })

  test('many workers that take at once never hold a shard twice', options, async () => {
    await using own = await durableDatabase()
    await using first = await openEngine(own.dsn)
    await using a = new Holder(first.engine, 16)
    await a.leases.start()
    await a.holds(16)
    await a.leases.stop()
    const ids = await first.db.query<{ id: string }>(
      `insert into sluice.worker (name) select 'w' from generate_series(1, 8) returning id`,
    )
    const taken = await Promise.all(ids.map(({ id }) => takeShards(first.db, SET, id, 3, [])))
    const shards = taken.flat().map(({ shard }) => shard)
    assert.equal(new Set(shards).size, shards.length)
  })

  test('work that throws gives its shard back, and it is worked on again', options, async () => {
    await using own = await durableDatabase()
    await using only = await openEngine(own.dsn)
    const epochs: string[] = []
    const again = Promise.withResolvers<void>()
    const leases = new ShardLeases({
      engine: only.engine,
      ...SET,
      shards: 1,
      work: async ({ epoch, draining }) => {
        epochs.push(epoch)
        if (epochs.length === 1) throw new Error('the work failed')
        again.resolve()
        await aborted(draining)
      },
    })
    await leases.start()
    await again.promise
    await leases.stop()
    assert.deepEqual(epochs, ['1', '2'])
  })

  test('a stop whose time is up tells the work to settle at once', options, async () => {
    await using own = await durableDatabase()
    await using only = await openEngine(own.dsn)
    const a = new Holder(only.engine, 2, (lease) => aborted(lease.signal))
    await a.leases.start()
    await a.holds(2)
    const limit = new AbortController()
    const stopped = a.leases.stop(limit.signal)
    for (const lease of a.taken) await aborted(lease.draining)
    assert.ok(a.taken.every(({ signal }) => !signal.aborted))
    limit.abort(new Error('no more time'))
    await stopped
    assert.deepEqual(await owners(only.db), [null, null])
    assert.equal(await only.db.queryOne('select 1 from sluice.contender'), undefined)
  })

  /** Taken for dead, long enough ago that what it owned may be taken. */
})

async function markDead(db: Postgres, worker: string): Promise<void> {
  await db.execute(
    `update sluice.worker set dead_at = clock_timestamp() - interval '1 minute' where id = $1`,
    [worker],
  )
}

async function owners(db: Postgres): Promise<readonly (string | null)[]> {
  const rows = await db.query<{ owner: string | null }>(
    `select owner from sluice.lease where kind = 'q' and ref = 1 order by shard`,
  )
  return rows.map(({ owner }) => owner)
}
