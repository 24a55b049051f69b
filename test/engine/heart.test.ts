/** The heartbeat through a network with faults in it: the lease is kept, or knowingly lost. The tests wait together. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { suite, test } from 'node:test'
import { postgres, type Postgres } from '../../src/components/postgres/index.ts'
import { systemClock } from '../../src/core/clock.ts'
import { Worker, type Lease } from '../../src/engine/worker/worker.ts'
import { silentLogger } from '../../src/telemetry/log.ts'
import { connectComponent } from '../../src/testing/connect-component.ts'
import type { FaultProxy } from '../../src/testing/fault-proxy.ts'
import { databaseProxy } from '../support/database-proxy.ts'
import { durableDatabase } from '../support/durable-database.ts'
import { openTables } from './tasks-support.ts'

const options = { timeout: 120_000 }

suite('the heartbeat', { concurrency: 4 }, () => {
  test(
    'a heartbeat whose connection is cut goes on under the same lease, with its lock',
    options,
    async () => {
      await using own = await durableDatabase()
      await using tables = await openTables(own.dsn)
      await using faulty = await behindFaults(own.dsn)
      const lease = await faulty.open()
      // Cut without a word to the server, whose session goes on holding the lock; new connections work.
      for (const connection of faulty.proxy.connections) connection.blackhole()
      const reconnected = faulty.proxy.nextConnection()
      const before = await beat(tables.db, lease.id)
      await reconnected
      await until(async () => (await beat(tables.db, lease.id)).at > before.at)
      await until(async () => (await beat(tables.db, lease.id)).hasLock)
      assert.equal(faulty.worker.lease, lease)
      assert.equal(lease.signal.aborted, false)
    },
  )

  test('a thread that ends is replaced, and the next one keeps the lease', options, async () => {
    await using own = await durableDatabase()
    await using tables = await openTables(own.dsn)
    await using faulty = await behindFaults(own.dsn)
    const lease = await faulty.open()
    // What is not the protocol makes the driver throw where nobody can catch it.
    const garbage = Buffer.from('440000000e0009ffffffffffffffff', 'hex')
    faulty.proxy.intercept(() => garbage, 'down')
    await once(faulty.crashes, 'abort')
    faulty.proxy.heal()
    const before = await beat(tables.db, lease.id)
    await until(async () => (await beat(tables.db, lease.id)).at > before.at)
    assert.equal(faulty.worker.lease, lease)
  })

  test('a worker that others took for dead loses its lease and gets another', options, async () => {
    await using own = await durableDatabase()
    await using tables = await openTables(own.dsn)
    await using faulty = await behindFaults(own.dsn)
    const lease = await faulty.open()
    const again = new Promise<Lease>((resolve) => {
      faulty.worker.onLease((next) => {
        if (next !== lease) resolve(next)
      })
    })
    await tables.db.execute('update sluice.worker set dead_at = clock_timestamp() where id = $1', [lease.id])
    const next = await again
    assert.equal((lease.signal.reason as { readonly code: string }).code, 'SLUICE_LEASE_LOST')
    assert.notEqual(next.id, lease.id)
    await until(async () => (await beat(tables.db, next.id)).hasLock)
  })

  test(
    'a worker that is cut off gives its lease up by itself, before others may have its work',
    options,
    async () => {
      await using own = await durableDatabase()
      await using tables = await openTables(own.dsn)
      await using faulty = await behindFaults(own.dsn)
      const lease = await faulty.open()
      faulty.proxy.blackhole()
      await once(lease.signal, 'abort')
      const row = await tables.db.queryOne<{ dead: boolean }>(
        'select dead_at is not null as dead from sluice.worker where id = $1',
        [lease.id],
      )
      assert.deepEqual(row, { dead: false }, 'nobody was there to find it dead')
      faulty.proxy.heal()
      await until(async () => faulty.worker.lease !== undefined && faulty.worker.lease !== lease)
      await until(async () => {
        const left = await tables.db.queryOne<{ dead: boolean }>(
          `select dead_at < clock_timestamp() - interval '4 s' as dead from sluice.worker where id = $1`,
          [lease.id],
        )
        return left?.dead === true
      })
    },
  )
})

interface Faulty extends AsyncDisposable {
  readonly proxy: FaultProxy
  readonly worker: Worker
  /** Aborts when the thread of the heart ends by itself. */
  readonly crashes: AbortSignal
  open(): Promise<Lease>
}

/** A worker whose heart reaches the database through faults. */
async function behindFaults(dsn: string): Promise<Faulty> {
  const faulty = await databaseProxy(dsn)
  const { proxy } = faulty
  const component = await connectComponent(postgres({ dsn: faulty.dsn, maxOpenConns: 1 }), { name: 'db' })
  const crashed = new AbortController()
  const worker = new Worker({
    db: component.api,
    clock: systemClock,
    random: Math.random,
    log: {
      ...silentLogger,
      error: (...args: unknown[]) => {
        if (String(args[1]).startsWith('the thread')) crashed.abort()
      },
    },
    appName: 'test',
    channel: undefined,
    onFreed: () => {},
  })
  return {
    proxy,
    worker,
    crashes: crashed.signal,
    async open() {
      await worker.open()
      return worker.lease!
    },
    async [Symbol.asyncDispose]() {
      proxy.heal()
      await worker.close().catch(() => {})
      await component.close()
      await proxy.close()
    },
  }
}

interface Beat {
  readonly at: string
  readonly hasLock: boolean
}

async function beat(db: Postgres, id: string): Promise<Beat> {
  const row = await db.queryOne<Beat>(
    'select beat::text as at, has_lock as "hasLock" from sluice.worker where id = $1',
    [id],
  )
  return row!
}

/** Asks again and again, until the test's own limit. */
async function until(isSo: () => Promise<boolean>): Promise<void> {
  while (!(await isSo())) await systemClock.sleep(20)
}
