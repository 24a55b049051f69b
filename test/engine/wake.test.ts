/** Hints between processes: heard across them, coalesced, heard again after a cut, and not sent where that is switched off. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { systemClock } from '../../src/core/clock.ts'
import { postgres, type Postgres } from '../../src/components/postgres/index.ts'
import { Wake } from '../../src/engine/wake.ts'
import { silentLogger } from '../../src/telemetry/log.ts'
import { connectComponent } from '../../src/testing/connect-component.ts'
import { databaseProxy } from '../support/database-proxy.ts'
import { durableDatabase } from '../support/durable-database.ts'

const options = { timeout: 60_000 }

test('a hint reaches other processes, and handlers of its topic alone', options, async () => {
  await using own = await durableDatabase()
  await using here = await connectComponent(postgres({ dsn: own.dsn }), { name: 'db' })
  await using there = await connectComponent(postgres({ dsn: own.dsn }), { name: 'db' })
  await using a = await open(here.api, true)
  await using b = await open(there.api, true)
  let others = 0
  b.wake.on('q2', () => others++)
  const heard = next(b.wake, 'q1')
  a.wake.signal('q1')
  await heard
  assert.equal(others, 0)
})

test('without notifications hints stay in their process', options, async () => {
  await using own = await durableDatabase()
  await using here = await connectComponent(postgres({ dsn: own.dsn }), { name: 'db' })
  await using there = await connectComponent(postgres({ dsn: own.dsn }), { name: 'db' })
  await using silent = await open(here.api, false)
  await using loud = await open(there.api, true)
  let calls = 0
  silent.wake.on('q1', () => calls++)
  let heard = 0
  loud.wake.on('q1', () => heard++)
  silent.wake.signal('q1')
  assert.equal(calls, 1, 'at once')
  // What it had sent would have come before this.
  const last = next(loud.wake, 'q9')
  await there.api.notify('sluice', 'someone q9')
  await last
  assert.equal(heard, 0)
})

test(
  'after its connection was cut a process is told to look at everything, and hears again',
  options,
  async () => {
    await using own = await durableDatabase()
    await using faulty = await databaseProxy(own.dsn)
    await using here = await connectComponent(postgres({ dsn: faulty.dsn }), { name: 'db' })
    await using there = await connectComponent(postgres({ dsn: own.dsn }), { name: 'db' })
    await using a = await open(here.api, true)
    await using b = await open(there.api, true)
    const gap = next(a.wake, 'q5')
    faulty.proxy.reset()
    await gap
    const heard = next(a.wake, 'q6')
    b.wake.signal('q6')
    await heard
  },
)

interface OpenWake extends AsyncDisposable {
  readonly wake: Wake
}

async function open(db: Postgres, notify: boolean): Promise<OpenWake> {
  const wake = new Wake(db, systemClock, silentLogger)
  await wake.open({ notify })
  return { wake, [Symbol.asyncDispose]: () => wake.close() }
}

function next(wake: Wake, topic: string): Promise<void> {
  return new Promise((resolve) => {
    const off = wake.on(topic, () => {
      off()
      resolve()
    })
  })
}
