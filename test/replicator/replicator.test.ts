import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { SourceServer } from '../../examples/replicator/source/server.ts'
import {
  memorySink,
  MemoryStore,
  type Batch,
  type Replicator,
  type SinkFactory,
} from '../../src/replicator/index.ts'
import { connectComponent, openComponent } from '../../src/testing/connect-component.ts'
import { eventually } from '../support/eventually.ts'
import { expected, replicatorOf, START_MS, startSource, stored } from './support.ts'

function fill(source: SourceServer, companies = 50): void {
  for (let index = 0; index < companies; index++)
    source.log.seed('company', `c${index}`, { name: `company ${index}`, seats: index })
  for (let index = 0; index < 20; index++) source.log.seed('user', `u${index}`, { name: `user ${index}` })
  for (let index = 0; index < 5; index++) source.log.seed('flag', `f${index}`, { on: index % 2 === 0 })
}

/** Waits until all that the source sent is stored; then the store is what the source is. */
async function inStep(
  source: SourceServer,
  { api }: { readonly api: Replicator },
  store: MemoryStore,
): Promise<void> {
  const { ms, seq } = source.log.last
  await eventually(() => {
    const { cursor, loading, notReady } = api.stats()
    return Promise.resolve(
      cursor === `${ms}-${seq}` && loading === null && notReady === null ? true : undefined,
    )
  })
  assert.deepEqual(stored(store), expected(source.log))
}

test('an empty store is loaded before connect resolves, and then follows the stream', async () => {
  await using source = await startSource()
  fill(source)
  const store = new MemoryStore()
  await using open = await connectComponent(replicatorOf(source, { sink: memorySink({ store }) }))
  assert.equal(open.api.ready, true)
  assert.deepEqual(stored(store), expected(source.log))
  assert.ok(open.progress.length > 0 && open.progress.at(-1)?.fraction === 1)
  const { log } = source
  log.change('company', 'full', 'c1', { name: 'renamed' }, START_MS + 1)
  log.change('company', 'partial', 'c2', { seats: null, plan: 'team' }, START_MS + 1)
  log.change('company', 'delete', 'c3', {}, START_MS + 2)
  log.change('company', 'full', 'new', { name: 'new' }, START_MS + 3)
  log.changeMany(
    'flag',
    [
      { id: 'f0', data: { on: false } },
      { id: 'f9', data: { on: true } },
    ],
    START_MS + 3,
  )
  source.pump()
  await inStep(source, open, store)
  const { lanes, cursor, received } = await eventually(() => {
    const stats = open.api.stats()
    return Promise.resolve(stats.cursor === stats.received ? stats : undefined)
  })
  assert.equal(cursor, `${log.last.ms}-${log.last.seq}`)
  assert.equal(received, cursor)
  assert.equal(lanes['company']?.received, 4)
  assert.equal(lanes['company']?.processed, 4)
  assert.equal(lanes['flag']?.processed, 2)
  await open.check()
})

test('after a disconnect it resumes where it was, without a load', async () => {
  await using source = await startSource()
  fill(source)
  const store = new MemoryStore()
  await using open = await connectComponent(replicatorOf(source, { sink: memorySink({ store }) }))
  const { pages } = source
  for (let round = 0; round < 3; round++) {
    source.disconnect()
    for (let index = 0; index < 30; index++)
      source.log.change(
        'company',
        index % 3 === 0 ? 'full' : 'partial',
        `c${index}`,
        { round, index },
        START_MS + round,
      )
    source.pump()
    await inStep(source, open, store)
    assert.equal(open.api.ready, true)
  }
  assert.equal(source.pages, pages)
  assert.ok(open.api.stats().disconnects >= 3)
})

test('a position that the source has forgotten leads to a load, which removes what is gone', async () => {
  await using source = await startSource()
  fill(source)
  const store = new MemoryStore()
  await using open = await connectComponent(replicatorOf(source, { sink: memorySink({ store }) }))
  source.refusing = true
  source.disconnect()
  source.log.change('company', 'delete', 'c7', {}, START_MS + 5)
  source.log.change('company', 'full', 'c8', { name: 'other' }, START_MS + 6)
  source.log.forget()
  source.refusing = false
  await eventually(() => Promise.resolve(open.api.stats().reloads > 0 && open.api.ready ? true : undefined))
  assert.deepEqual(stored(store), expected(source.log))
  assert.equal(store.entity('company', 'c7'), undefined)
})

test('what cannot be understood becomes a dead letter with its text, and the stream goes on', async () => {
  await using source = await startSource()
  fill(source)
  const store = new MemoryStore()
  await using open = await connectComponent(replicatorOf(source, { sink: memorySink({ store }) }))
  const { log } = source
  log.garbage('company', '{"entity_type":"company","message_type":"full","entity_id":"x', START_MS + 1)
  log.garbage(
    'company',
    '{"entity_type":"planet","message_type":"full","entity_id":"x","data":{},"stream_id":"1001-1"}',
    START_MS + 1,
  )
  log.garbage(
    'user',
    '{"entity_type":"user","message_type":"partial","entity_id":"nobody","data":{"a":1},"stream_id":"1001-2"}',
    START_MS + 1,
  )
  log.change('company', 'full', 'c1', { name: 'after' }, START_MS + 2)
  source.pump()
  await inStep(source, open, store)
  const letters = await eventually(async () => {
    const all = await open.api.deadLetters()
    return all.length === 3 ? all : undefined
  })
  assert.deepEqual(letters.map(({ reason }) => reason).sort(), ['malformed', 'no-base', 'unknown-type'])
  assert.ok(letters.some(({ text }) => text.endsWith('"entity_id":"x')))
  const { lanes } = open.api.stats()
  const sum = (key: 'received' | 'dead' | 'processed' | 'dropped'): number =>
    Object.values(lanes).reduce((total, lane) => total + lane[key], 0)
  assert.equal(sum('dead'), 3)
  assert.equal(sum('dropped'), 0)
  assert.equal(sum('received'), sum('dead') + sum('processed'))
})

test('a second start on a warm store is ready without a load, and goes on after the cursor', async () => {
  await using source = await startSource()
  fill(source)
  const store = new MemoryStore()
  const first = await connectComponent(replicatorOf(source, { sink: memorySink({ store }) }))
  const signal = AbortSignal.timeout(5_000)
  await first.component.stopIntake?.(signal)
  await first.component.drain?.(signal)
  await first.close()
  const { pages } = source
  source.log.change('company', 'partial', 'c1', { while: 'away' }, START_MS + 9)
  await using second = await connectComponent(replicatorOf(source, { sink: memorySink({ store }) }))
  await inStep(source, second, store)
  assert.equal(source.pages, pages)
  assert.equal(second.api.stats().reloads, 0)
})

test('a successor stands by, and takes over when the first has drained', async () => {
  await using source = await startSource()
  fill(source)
  const store = new MemoryStore()
  const first = await connectComponent(replicatorOf(source, { sink: memorySink({ store }) }))
  await using second = await connectComponent(replicatorOf(source, { sink: memorySink({ store }) }))
  assert.equal(second.api.stats().role, 'standby')
  await second.check()
  for (let index = 0; index < 40; index++)
    source.log.change('company', 'partial', `c${index}`, { index }, START_MS + 1)
  source.pump()
  const signal = AbortSignal.timeout(5_000)
  await first.component.stopIntake?.(signal)
  await first.component.drain?.(signal)
  await first.close()
  source.log.change('company', 'partial', 'c1', { later: true }, START_MS + 2)
  source.pump()
  await inStep(source, second, store)
  assert.equal(second.api.stats().role, 'active')
  await eventually(() => Promise.resolve(second.api.ready ? true : undefined))
})

test('a store that was emptied is loaded again', async () => {
  await using source = await startSource()
  fill(source)
  const store = new MemoryStore()
  await using open = await connectComponent(replicatorOf(source, { sink: memorySink({ store }) }))
  store.clear()
  source.log.change('company', 'partial', 'c1', { later: true }, START_MS + 2)
  source.pump()
  await inStep(source, open, store)
  assert.ok(open.api.stats().sessions > 1)
})

/** A memory sink that can be stopped, and counts what it is handed. */
function gatedSink(store: MemoryStore) {
  const make = memorySink({ store })
  const gate = {
    open: true,
    fail: false,
    waiting: [] as (() => void)[],
    batches: [] as Batch[],
    release: (): void => {},
  }
  gate.release = () => {
    gate.open = true
    for (const go of gate.waiting.splice(0)) go()
  }
  const sink: SinkFactory = (context) => {
    const inner = make(context)
    const apply: typeof inner.apply = async (batch, signal) => {
      if (!gate.open) await new Promise<void>((resolve) => gate.waiting.push(resolve))
      if (gate.fail) throw new Error('the store fails')
      gate.batches.push(batch)
      return inner.apply(batch, signal)
    }
    return {
      kind: inner.kind,
      readsData: inner.readsData,
      open: (options) => inner.open(options),
      apply,
      beginLoad: (load, signal) => inner.beginLoad(load, signal),
      finishLoad: (load, before, options) => inner.finishLoad(load, before, options),
      check: (signal) => (gate.fail ? Promise.reject(new Error('the store fails')) : inner.check(signal)),
      deadLetters: (limit, signal) => inner.deadLetters(limit, signal),
      close: (signal) => inner.close(signal),
      inspect: () => inner.inspect(),
    }
  }
  return { sink, gate }
}

test('a lane at its bound pauses the socket, and nothing is lost', async () => {
  await using source = await startSource({ keep: 50_000 })
  fill(source)
  const store = new MemoryStore()
  const { sink, gate } = gatedSink(store)
  await using open = await connectComponent(
    replicatorOf(source, { sink, companyChannelSize: 20, writeTimeout: '20s' }),
  )
  gate.open = false
  const padding = 'x'.repeat(1_000)
  // Far more than sockets hold, so that the source is really held up.
  for (let index = 0; index < 20_000; index++)
    source.log.change('company', 'full', `c${index}`, { index, padding }, START_MS + 1)
  source.pump()
  const paused = await eventually(() => {
    const stats = open.api.stats()
    return Promise.resolve(stats.pauses > 0 ? stats : undefined)
  })
  const held = paused.lanes['company']?.pending ?? 0
  // What was read with the message that reached the bound still comes: at most a socket's chunk.
  assert.ok(held >= 20 && held < 400, `${held} changes are held`)
  assert.ok((open.api.stats().lanes['company']?.received ?? 0) < 10_000)
  gate.release()
  await inStep(source, open, store)
  assert.equal(open.api.stats().lanes['company']?.dropped, 0)
})

test('a store that fails opens the breaker; what comes is held and put together; one probe at a time', async () => {
  await using source = await startSource()
  fill(source)
  const store = new MemoryStore()
  const { sink, gate } = gatedSink(store)
  await using open = await connectComponent(
    replicatorOf(source, {
      sink,
      circuitBreakerThreshold: 3,
      circuitBreakerTimeout: 30,
      companyChannelSize: 100_000,
    }),
  )
  gate.fail = true
  for (let round = 0; round < 100; round++)
    for (let index = 0; index < 50; index++)
      source.log.change('company', 'full', `c${index}`, { round, index }, START_MS + round)
  source.pump()
  await eventually(() => Promise.resolve(open.api.stats().breaker === 'open' ? true : undefined))
  await assert.rejects(open.check())
  await eventually(() =>
    Promise.resolve(open.api.stats().lanes['company']?.received === 5_000 ? true : undefined),
  )
  assert.ok((open.api.stats().lanes['company']?.pending ?? 0) <= 50)
  gate.fail = false
  await inStep(source, open, store)
  const company = open.api.stats().lanes['company']
  assert.ok((company?.conflated ?? 0) > 4_000)
  assert.equal(company?.dropped, 0)
  await eventually(() =>
    open.check().then(
      () => true,
      () => undefined,
    ),
  )
})

test('a store that is back is used long before the time of the breaker is over', async () => {
  await using source = await startSource()
  fill(source)
  const store = new MemoryStore()
  const { sink, gate } = gatedSink(store)
  await using open = await connectComponent(
    replicatorOf(source, { sink, circuitBreakerThreshold: 1, circuitBreakerTimeout: '1h' }),
  )
  gate.fail = true
  source.log.change('company', 'full', 'c1', { late: true }, START_MS + 9)
  source.pump()
  await eventually(() => Promise.resolve(open.api.stats().breaker === 'open' ? true : undefined))
  gate.fail = false
  await inStep(source, open, store)
  assert.equal(open.api.stats().breaker, 'closed')
})

test('the same address with a wrong key is refused, told, and tried again', async () => {
  await using source = await startSource({ apiKey: 'another' })
  const open = await openComponent(replicatorOf(source))
  const connecting = open.connect().catch((error: unknown) => error)
  const error = await eventually(() => {
    const facts = open.component.inspect() as {
      readonly source?: { readonly lastError?: string; readonly connects?: number }
    }
    return Promise.resolve(
      (facts.source?.connects ?? 0) > 1 ? (facts.source?.lastError ?? undefined) : undefined,
    )
  })
  assert.match(error, /refused the API key \(status 401\)/)
  await open.close()
  await connecting
})
