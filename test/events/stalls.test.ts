/** A subscription that stands still is told of, and begins again. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Postgres } from '../../src/components/postgres/index.ts'
import { event } from '../../src/events/index.ts'
import { createMetrics } from '../../src/telemetry/metrics.ts'
import { aheadClock, anything, place, Seen, until } from './support.ts'

const Created = event('todo.created', anything<{ n: number }>())
const HOUR_MS = 3_600_000

/** Of the statements of one label the next is never answered. */
class Silence {
  next: string | undefined
  readonly #fell = Promise.withResolvers<void>()

  /** Resolves when one was not answered. */
  get fell(): Promise<void> {
    return this.#fell.promise
  }

  between(db: Postgres): Postgres {
    const ask = (name: 'query' | 'queryOne') => {
      return (...args: Parameters<Postgres['query']>): unknown => {
        if (this.next === undefined || args[2]?.label !== this.next) return Reflect.apply(db[name], db, args)
        this.next = undefined
        this.#fell.resolve()
        return new Promise(() => {})
      }
    }
    const batch = (...args: Parameters<Postgres['batch']>): unknown => {
      if (this.next === undefined || args[1]?.label !== this.next) return db.batch(...args)
      this.next = undefined
      this.#fell.resolve()
      return { waitAll: () => new Promise(() => {}) }
    }
    const silent: Partial<Record<PropertyKey, unknown>> = {
      query: ask('query'),
      queryOne: ask('queryOne'),
      batch,
    }
    return new Proxy(db, {
      get(target, name) {
        const value: unknown = silent[name] ?? Reflect.get(target, name)
        return typeof value === 'function' && silent[name] === undefined ? value.bind(target) : value
      },
    })
  }
}

for (const label of ['sluice.window', 'sluice.tick']) {
  test(`a reader whose question (${label}) is never answered asks again, and says so`, async () => {
    await using here = await place()
    const [clock, silence, metrics] = [aheadClock(), new Silence(), createMetrics()]
    const between = (db: Postgres): Postgres => silence.between(db)
    const peer = await here.peer({ pollInterval: '100ms' }, { clock, metrics, between })
    const seen = new Seen<number>()
    silence.next = label
    await peer.events
      .subscribe(Created, 'reader', ({ data }) => seen.add(data.n), { from: 'beginning' })
      .ready()
    await peer.events.publish(Created, { n: 0 })
    await peer.events.publish(Created, { n: 1 })
    await silence.fell
    assert.deepEqual(seen.all, [])
    clock.ahead += HOUR_MS
    await seen.atLeast(2)
    assert.deepEqual([...new Set(seen.all)], [0, 1])
    assert.match(metrics.expose(), /sluice_events_reads_given_up_total\{component="events"\} 1/)
  })
}

test('a shard that is never told where it stands begins again, and is counted', async () => {
  await using here = await place()
  const [clock, silence, metrics] = [aheadClock(), new Silence(), createMetrics()]
  const between = (db: Postgres): Postgres => silence.between(db)
  const peer = await here.peer({ pollInterval: '100ms' }, { clock, metrics, between })
  const seen = new Seen<number>()
  silence.next = 'sluice.cursor.read'
  const options = { from: 'beginning', timeout: '1s' } as const
  await peer.events.subscribe(Created, 'reader', ({ data }) => seen.add(data.n), options).ready()
  await peer.events.publish(Created, { n: 0 })
  await silence.fell
  clock.ahead += HOUR_MS
  await seen.atLeast(1)
  assert.match(metrics.expose(), /sluice_events_stalled_total\{component="events",subscription="reader"\} 1/)
})

test('a shard with nothing to do is left alone, however long that is', async () => {
  await using here = await place()
  const [clock, metrics] = [aheadClock(), createMetrics()]
  const peer = await here.peer({ pollInterval: '100ms', stallTimeout: '8s' }, { clock, metrics })
  const seen = new Seen<number>()
  const subscription = peer.events.subscribe(Created, 'reader', ({ data }) => seen.add(data.n), {
    timeout: 1,
  })
  await subscription.ready()
  await peer.events.publish(Created, { n: 0 })
  await seen.atLeast(1)
  // Step by step, so that what is asked of the database meanwhile does not look old.
  const since = clock.monotonic()
  await until(
    () => Promise.resolve((clock.ahead += 10)),
    () => clock.monotonic() - since > 10_000,
  )
  await peer.events.publish(Created, { n: 1 })
  await seen.atLeast(2)
  assert.doesNotMatch(metrics.expose(), /stalled_total|given_up/)
})
