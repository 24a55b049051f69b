/** The last writes before a stop, with a sink that works and with one that does not. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as immediate } from 'node:timers/promises'
import { Breaker } from '../../src/policy/breaker.ts'
import type { Applied, Batch, LaneSpec } from '../../src/replicator/contract.ts'
import { drainLanes } from '../../src/replicator/drain.ts'
import { Lanes } from '../../src/replicator/lanes/lanes.ts'
import { ManualClock } from '../../src/testing/manual-clock.ts'
import { recordingLogger, type RecordedLine } from '../telemetry/recording-logger.ts'

const COMPANY: LaneSpec = { name: 'company', plural: 'companies', lookups: undefined, ttlMs: 0 }

/** Lanes with ten messages of five keys, over a sink that answers as it is told. */
function stage(apply: (batch: Batch, signal: AbortSignal) => Promise<Applied>) {
  const clock = new ManualClock()
  const lines: RecordedLine[] = []
  const breaker = new Breaker({
    name: 'sink',
    clock,
    consecutive: 3,
    window: false,
    resetMs: 1_000,
    isFailure: () => true,
  })
  const lanes = new Lanes({
    specs: [COMPANY],
    settings: {
      shards: 1,
      batchSize: 1,
      batchTimeoutMs: 10,
      maxBatchChanges: 1,
      maxBatchBytes: 10_000,
      maxInFlight: 1,
      writeTimeoutMs: 3_000,
      backoff: { baseMs: 50, capMs: 1_000 },
      touchMs: 1_000,
      maxChanges: { company: 100 },
      maxLaneBytes: 1_000_000,
    },
    clock,
    random: () => 0.5,
    breaker,
    apply,
    keepsData: false,
    observer: {
      full: () => {},
      room: () => {},
      lost: () => {},
      failed: () => {},
      stored: () => {},
      dead: () => {},
      disorder: () => {},
    },
  })
  lanes.begin({ ms: 1, seq: 0 })
  const lane = lanes.lane('company')!
  for (let seq = 1; seq <= 10; seq++)
    lane.receive('full', `k${seq % 5}`, `{"seq":${seq}}`, undefined, { ms: 1, seq }, lanes.turn())
  const app = new AbortController()
  let isOver = false
  const drained = drainLanes(lanes, { clock, log: recordingLogger(lines), name: 'replica' }, app.signal)
  void drained.then(
    () => (isOver = true),
    () => (isOver = true),
  )
  // Batches leave in a turn of the event loop, in between.
  const pass = async (ms: number): Promise<void> => {
    for (let left = ms; left > 0; left -= 50) {
      await immediate()
      await clock.advance(50)
    }
  }
  return { clock, pass, lines, lanes, drained, app, isOver: () => isOver }
}

const stored = ({ changes }: Batch): Applied => ({
  applied: changes.length,
  skippedAsOlder: 0,
  dead: [],
  waiting: [],
})

test('a stop waits for a slow sink for as long as that stores something', async () => {
  const { clock, pass, drained, lines, lanes, isOver } = stage(async (batch) => {
    await clock.sleep(2_500)
    return stored(batch)
  })
  await pass(12_000)
  assert.equal(isOver(), false)
  await pass(1_900)
  await drained
  assert.deepEqual([lanes.held, lines], [0, []])
  lanes.close()
})

test('where nothing is stored a stop is given up in order, and says what it leaves', async () => {
  const { pass, drained, lines, lanes, isOver } = stage(() => Promise.reject(new Error('it is down')))
  await pass(4_900)
  assert.equal(isOver(), false)
  await pass(200)
  await drained
  assert.equal(lines.length, 1)
  const [{ level, message, changes, messages, cursor }] = lines as [RecordedLine]
  assert.deepEqual(
    { level, changes, messages, cursor },
    { level: 'warn', changes: 5, messages: 10, cursor: '1-0' },
  )
  assert.match(message, /the source sends them again/)
  lanes.close()
})

test('a sink that stores one now and then does not hold a stop beyond its limit', async () => {
  const { clock, pass, drained, lines, lanes } = stage(async (batch) => {
    await clock.sleep(2_990)
    return stored(batch)
  })
  await pass(14_000)
  await drained
  assert.partialDeepStrictEqual(lines, [{ level: 'warn', changes: 1, messages: 2, cursor: '1-4' }])
  lanes.close()
})

test('a drain that its caller ends rejects with the reason', async () => {
  const { drained, app, lanes, lines } = stage(() => new Promise(() => {}))
  const rejected = assert.rejects(drained, /enough/)
  app.abort(new Error('enough'))
  await rejected
  assert.deepEqual(lines, [])
  lanes.close()
})
