/**
 * The lanes against a model: whatever comes, in whatever order writes end, the store becomes what the stream says, no
 * write of a key overtakes another, nothing is lost, bounds are kept, and the cursor is never ahead of the store.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Breaker } from '../../src/policy/breaker.ts'
import type { Applied, Batch, Change, LaneSpec } from '../../src/replicator/contract.ts'
import { Lanes } from '../../src/replicator/lanes/lanes.ts'
import { mergePartial } from '../../src/replicator/merge.ts'
import { compareStreamIds, isAfter, type StreamId } from '../../src/replicator/stream-id.ts'
import { ManualClock } from '../../src/testing/manual-clock.ts'

const LANES: readonly LaneSpec[] = [
  { name: 'company', plural: 'companies', lookups: undefined, ttlMs: 0 },
  { name: 'flag', plural: 'flags', lookups: undefined, ttlMs: 0 },
]
const KEYS = 6
const MAX_CHANGES = 4
const runs = Number(process.env['SLUICE_PROPERTY_RUNS'] ?? 300)

type Step =
  | {
      readonly do: 'message'
      readonly lane: number
      readonly key: number
      readonly kind: Change['kind']
      readonly field: number
      readonly value: number | null
    }
  | { readonly do: 'again'; readonly back: number }
  | { readonly do: 'bad' }
  | { readonly do: 'turn' }
  | { readonly do: 'time'; readonly ms: number }
  | { readonly do: 'end'; readonly which: number; readonly how: 'ok' | 'refused' | 'unknown' }

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant('message' as const),
      lane: fc.nat(LANES.length - 1),
      key: fc.nat(KEYS - 1),
      kind: fc.constantFrom('full' as const, 'partial' as const, 'partial' as const, 'delete' as const),
      field: fc.nat(2),
      value: fc.option(fc.nat(9), { freq: 4 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('again' as const), back: fc.nat(5) }) },
  { weight: 1, arbitrary: fc.constant({ do: 'bad' as const }) },
  { weight: 4, arbitrary: fc.constant({ do: 'turn' as const }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('time' as const), ms: fc.nat(40) }) },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant('end' as const),
      which: fc.nat(5),
      how: fc.constantFrom(
        'ok' as const,
        'ok' as const,
        'ok' as const,
        'refused' as const,
        'unknown' as const,
      ),
    }),
  },
)

interface Message {
  readonly lane: string
  readonly id: string
  readonly kind: Change['kind']
  readonly data: Record<string, unknown>
  readonly at: StreamId
}

interface Stored {
  readonly at: StreamId
  readonly data: Readonly<Record<string, unknown>> | undefined
}

/** A store that does what the contract says, when it is told to. */
class Store {
  readonly entities = new Map<string, Stored>()
  readonly cursors = new Map<string, StreamId>()
  readonly open: { readonly batch: Batch; readonly reply: PromiseWithResolvers<Applied> }[] = []
  letters = 0
  readonly busyKeys = new Set<string>()

  apply(batch: Batch): Promise<Applied> {
    const reply = Promise.withResolvers<Applied>()
    for (const { id } of batch.changes) {
      const key = `${batch.lane}:${id}`
      assert.ok(!this.busyKeys.has(key), `${key} is in two batches at once`)
      this.busyKeys.add(key)
    }
    this.open.push({ batch, reply })
    return reply.promise
  }

  end(which: number, how: 'ok' | 'refused' | 'unknown'): void {
    if (this.open.length === 0) return
    const [{ batch, reply }] = this.open.splice(which % this.open.length, 1) as [(typeof this.open)[number]]
    for (const { id } of batch.changes) this.busyKeys.delete(`${batch.lane}:${id}`)
    const applied = how === 'refused' ? undefined : this.#store(batch)
    if (how === 'ok' && applied !== undefined) reply.resolve(applied)
    else reply.reject(new Error(how))
  }

  #store(batch: Batch): Applied {
    const dead: Applied['dead'][number][] = []
    let applied = 0
    let skippedAsOlder = 0
    for (const change of batch.changes) {
      const key = `${batch.lane}:${change.id}`
      const stored = this.entities.get(key)
      if (stored !== undefined && !isAfter(change.at, stored.at)) {
        assert.ok(
          !change.ascending || compareStreamIds(change.at, stored.at) === 0,
          `${key} was called ascending`,
        )
        skippedAsOlder += 1
        continue
      }
      const data = change.kind === 'delete' ? {} : (JSON.parse(change.json) as Record<string, unknown>)
      if (change.kind === 'delete') this.entities.set(key, { at: change.at, data: undefined })
      else if (change.kind === 'full') this.entities.set(key, { at: change.at, data })
      else if (stored?.data === undefined) {
        dead.push({ change, reason: 'no-base', detail: '' })
        continue
      } else this.entities.set(key, { at: change.at, data: mergePartial(stored.data, data) })
      applied += 1
    }
    this.letters += batch.dead.length
    const cursor = this.cursors.get(batch.lane)
    if (batch.cursor !== undefined && (cursor === undefined || isAfter(batch.cursor, cursor)))
      this.cursors.set(batch.lane, batch.cursor)
    return { applied, skippedAsOlder, dead, waiting: [] }
  }
}

/** What the messages up to `to` make of each key. A partial of nothing, or of what was deleted, is dead. */
function model(messages: readonly Message[], to?: StreamId): Map<string, Stored> {
  const entities = new Map<string, Stored>()
  for (const { lane, id, kind, data, at } of messages) {
    if (to !== undefined && isAfter(at, to)) continue
    const key = `${lane}:${id}`
    const stored = entities.get(key)
    if (kind === 'full') entities.set(key, { at, data })
    else if (kind === 'delete') entities.set(key, { at, data: undefined })
    else if (stored?.data !== undefined) entities.set(key, { at, data: mergePartial(stored.data, data) })
  }
  return entities
}

/** Everything up to the cursor is stored: each key is at least as new as the model of that time says. */
function cursorIsNotAhead(store: Store, messages: readonly Message[]): void {
  for (const [lane, cursor] of store.cursors) {
    for (const [key, expected] of model(messages, cursor)) {
      const stored = store.entities.get(key)
      assert.ok(
        stored !== undefined && !isAfter(expected.at, stored.at),
        `the cursor ${cursor.ms}-${cursor.seq} of ${lane} is ahead of ${key}`,
      )
    }
  }
}

async function run(steps: readonly Step[]): Promise<void> {
  const clock = new ManualClock()
  const store = new Store()
  const messages: Message[] = []
  let bad = 0
  let paused = false
  const lanes = new Lanes({
    specs: LANES,
    settings: {
      shards: 2,
      batchSize: 2,
      batchTimeoutMs: 10,
      maxBatchChanges: 3,
      maxBatchBytes: 2_000,
      maxInFlight: 3,
      writeTimeoutMs: 1_000_000,
      backoff: { baseMs: 5, capMs: 20 },
      touchMs: 50,
      maxChanges: { company: MAX_CHANGES, flag: MAX_CHANGES },
      maxLaneBytes: 1_000_000,
    },
    clock,
    random: () => 0.5,
    breaker: new Breaker({
      name: 'sink',
      clock,
      consecutive: 3,
      window: false,
      resetMs: 30,
      isFailure: () => true,
    }),
    apply: (batch) => store.apply(batch),
    keepsData: false,
    observer: {
      full: () => void (paused = true),
      room: () => void (paused = false),
      lost: () => assert.fail('the lease was not lost'),
      failed: () => {},
      stored: () => {},
      dead: () => {},
      // What comes here is in one order, or came before.
      disorder: (lane, at) => assert.fail(`disorder: ${lane} ${at.ms}-${at.seq}`),
    },
  })
  lanes.begin({ ms: 1, seq: 0 })
  let seq = 0
  const deliver = ({ lane: name, kind, id, data, at }: Message): void => {
    const lane = lanes.lane(name)!
    const json = kind === 'delete' ? '' : JSON.stringify(data)
    if (kind === 'full' && at.seq % 3 > 0) {
      const bytes = Buffer.from(`{${id}:${json}}`)
      const idTo = 1 + id.length
      lane.receiveBytes(bytes, 1, idTo, idTo + 1, bytes.length - 1, at, lanes.turn())
      // Nothing of it is kept.
      bytes.fill('!')
    } else lane.receive(kind, id, json, kind === 'delete' ? undefined : { ...data }, at, lanes.turn())
    lanes.check(lane)
    assert.ok(lane.held <= MAX_CHANGES + 1, 'a lane holds more than its bound and the one that reached it')
  }
  for (const each of steps) {
    if (each.do === 'message' && !paused) {
      const at = { ms: 1, seq: ++seq }
      const data: Record<string, unknown> =
        each.kind === 'partial' ? { [`f${each.field}`]: each.value } : { base: each.value, f0: 0 }
      const message = { lane: LANES[each.lane]!.name, id: `k${each.key}`, kind: each.kind, data, at }
      messages.push(message)
      deliver(message)
    } else if (each.do === 'again' && !paused) {
      // As after a resume: the last few come once more, in order.
      for (const message of messages.slice(-each.back - 1)) if (!paused) deliver(message)
    } else if (each.do === 'bad' && !paused) {
      bad += 1
      const lane = lanes.lane('flag')!
      lane.bury('{', 'malformed', 'no JSON', '', { ms: 1, seq: ++seq }, lanes.turn())
      lanes.check(lane)
    } else if (each.do === 'turn') await clock.advance(0)
    else if (each.do === 'time') await clock.advance(each.ms)
    else if (each.do === 'end') {
      store.end(each.which, each.how)
      cursorIsNotAhead(store, messages)
    }
  }
  let drained = false
  const drain = lanes.drain(new AbortController().signal).then(() => void (drained = true))
  for (let round = 0; !drained; round++) {
    assert.ok(round < 2_000, 'it does not come to an end')
    await clock.advance(5)
    store.end(0, 'ok')
    cursorIsNotAhead(store, messages)
  }
  await drain
  lanes.close()
  assert.deepEqual(Object.fromEntries(store.entities), Object.fromEntries(model(messages)))
  assert.deepEqual(
    [...store.cursors.values()].map(({ seq: stored }) => stored),
    [...store.cursors.keys()].map(() => seq),
    'the cursor arrives at the last message',
  )
  const sum = (key: 'received' | 'processed' | 'skipped' | 'dead' | 'dropped' | 'returned'): number =>
    lanes.lanes.reduce((total, { counters }) => total + counters[key], 0)
  assert.equal(sum('received'), sum('processed') + sum('skipped') + sum('dead'))
  assert.equal(sum('dropped') + sum('returned') + lanes.held + (lanes.lanes[0]?.heldBytes ?? 0), 0)
  assert.ok(store.letters >= bad)
}

test('lanes do what the model does, in any order of messages, failures and replies', async () => {
  await fc.assert(fc.asyncProperty(fc.array(step, { maxLength: 120 }), run), { numRuns: runs })
})
