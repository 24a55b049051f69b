/** Subscriptions that no process has any more: their lag is shown, and told. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { event } from '../../src/events/index.ts'
import { silentLogger, type Logger } from '../../src/telemetry/log.ts'
import { createMetrics } from '../../src/telemetry/metrics.ts'
import { anything, place, Seen, until } from './support.ts'

const A = event('a.made', anything<{ n: number }>())

test('events that wait for a subscription that no process has are shown, and told once, until one has it', async () => {
  await using here = await place()
  {
    await using gone = await here.peer()
    await gone.events.subscribe(A, 'gone', () => {}).ready()
    await gone.events.publishMany(A, [{ data: { n: 1 } }, { data: { n: 2 } }])
  }
  const told: string[] = []
  const log: Logger = {
    ...silentLogger,
    warn: (_, message) => {
      if (message?.includes('no process has it') === true) told.push(message)
    },
    child: () => log,
  }
  const metrics = createMetrics()
  // It counts at once.
  const peer = await here.peer({}, { log, metrics, random: () => 0 })
  const shows = (line: string): boolean => metrics.expose().includes(`${line}\n`)
  const unread = (): unknown => (peer.component.component.inspect() as { unread: unknown }).unread
  // The end of a pause makes everybody look.
  const look = (): PromiseLike<void> => peer.events.resume('gone')
  await until(look, () => shows('sluice_events_lag{component="events",subscription="gone"} 2'))
  // They are young: a process may be about to start.
  assert.ok(shows('sluice_events_unread{component="events"} 0'))
  await peer.db.execute(`update sluice.event set at = at - interval '1 minute'`)
  await until(look, () => shows('sluice_events_unread{component="events"} 1'))
  await until(look, () => told.length > 0)
  assert.deepEqual(Object.keys(unread() as object), ['gone'])
  const [lag] = await peer.events.lag()
  assert.deepEqual([lag?.processes, lag?.events], [0, 2])

  await using back = await here.peer()
  const seen = new Seen<number>()
  await back.events.subscribe(A, 'gone', ({ data }) => seen.add(data.n)).ready()
  await seen.atLeast(2)
  await until(look, () => shows('sluice_events_unread{component="events"} 0'))
  assert.deepEqual(unread(), {})
  assert.equal((await peer.events.lag())[0]?.processes, 1)
  assert.deepEqual(told, ['events wait for the subscription "gone", and no process has it'])
})
