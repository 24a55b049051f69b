/** The example as its reader starts it: one command, a line of figures again and again, an orderly end. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import type { ReplicatorStats } from 'sluice/replicator'
import { StreamLog } from './source/stream-log.ts'
import { Generator } from './source/generator.ts'
import { asLine, asTable } from './view.ts'

const LINE = /^ready, received (\d+)\/s, stored (\d+)\/s, .* dropped 0, disconnects (\d+), reloads (\d+)$/

test('it becomes ready, follows the stream over disconnects, drops nothing, and stops cleanly', async () => {
  const child = spawn(
    process.execPath,
    ['--conditions=sluice-source', join(import.meta.dirname, 'main.ts')],
    {
      env: {
        PATH: process.env['PATH'],
        APP_PORT: '0',
        APP_HOST: '127.0.0.1',
        SOURCE_RATE: '200',
        SOURCE_KEYS: '300',
        SOURCE_DISCONNECT: '0.5',
        SOURCE_FORGET: '2',
      },
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  )
  const exited = once(child, 'exit')
  try {
    for await (const line of createInterface({ input: child.stdout })) {
      const [, received, , disconnects, reloads] = LINE.exec(line) ?? []
      if (Number(received) > 0 && Number(disconnects) > 1 && Number(reloads) > 0) break
    }
    child.kill('SIGTERM')
    assert.deepEqual(await exited, [0, null])
  } finally {
    child.kill('SIGKILL')
  }
})

test('the same seed makes the same stream', () => {
  const make = (): string[] => {
    const log = new StreamLog({ company: 'companies', flag: 'flags' }, 1_000, 1)
    const generator = new Generator(log, {
      seed: 7,
      entities: { company: 50, flag: 5 },
      garbage: 0.01,
      bulk: 0.05,
      deletes: 0.1,
    })
    generator.seed()
    for (let step = 0; step < 500; step++) generator.step(10 + step)
    return Array.from({ length: log.end }, (_, index) => log.at(index)?.text ?? '')
  }
  assert.deepEqual(make(), make())
  assert.ok(
    make().some((text) => text.includes('"companies"')) && make().some((text) => text.includes('"delete"')),
  )
})

test('the view shows lanes, rates and lag', () => {
  const lane = {
    received: 1_000,
    rows: 0,
    conflated: 3,
    processed: 990,
    applied: 900,
    skipped: 1,
    skippedInStore: 1,
    dead: 2,
    dropped: 0,
    returned: 0,
    failedBatches: 0,
    batches: { idle: 1, size: 0, time: 0, drain: 0 },
    pending: 8,
    pendingBytes: 1,
    parked: 0,
    limit: 16,
  }
  const stats = {
    role: 'active',
    ready: true,
    notReady: null,
    live: true,
    cursor: '5-1',
    received: '5-1',
    lagMs: 12,
    inFlight: 1,
    breaker: 'closed',
    loading: null,
    lanes: { company: lane },
    sessions: 1,
    disconnects: 0,
    reloads: 0,
    pauses: 0,
  } satisfies ReplicatorStats
  const before = { stats: { ...stats, lanes: {} }, ms: 0 }
  const table = asTable(before, { stats, ms: 1_000 }).join('\n')
  assert.match(table, /company +1000 +900 +3 +2 +2 +0 +8 \[########        \]/)
  assert.match(table, /ready +lag 12 ms +breaker closed +cursor 5-1/)
  assert.equal(
    asLine(before, { stats, ms: 2_000 }),
    'ready, received 500/s, stored 450/s, waiting 8, lag 12 ms, dead 2, dropped 0, disconnects 0, reloads 0',
  )
})
