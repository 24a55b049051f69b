/** A service that is stopped while its handlers run: the app gives two seconds to the end of all intake, handlers take longer. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { event } from '../../src/events/index.ts'
import { anything, place } from './support.ts'

const Numbered = event('shutdown.numbered', anything<number>())
const options = { timeout: 60_000 }

test('the end of the intake waits for no handler; the drain does, and lets it finish', options, async () => {
  await using here = await place()
  const peer = await here.peer({ shutdownTimeout: '40s' })
  const begun = Promise.withResolvers<AbortSignal>()
  const goOn = Promise.withResolvers<void>()
  await peer.events
    .subscribe(Numbered, 'slow', async ({ signal }) => {
      begun.resolve(signal)
      await goOn.promise
    })
    .ready()
  await peer.events.publish(Numbered, 1)
  const signal = await begun.promise
  const { component } = peer.component
  assert.equal(component.drainMs! > 40_000, true, 'handlers have the time that is configured')
  // As long as the app gives it, by default.
  const intake = AbortSignal.timeout(2_000)
  await component.stopIntake!(intake)
  assert.equal(intake.aborted, false)
  let drained = false
  const draining = component.drain!(AbortSignal.timeout(40_000)).then(() => (drained = true))
  await peer.events.lag()
  assert.equal(drained, false)
  goOn.resolve()
  await draining
  assert.equal(signal.aborted, false)
  const [lag] = await peer.events.lag()
  assert.equal(lag?.events, 0)
})

test('a drain that has no more time aborts the handlers, and their events come again', options, async () => {
  await using here = await place()
  const peer = await here.peer({ shutdownTimeout: '40s' })
  const begun = Promise.withResolvers<void>()
  const reasons: unknown[] = []
  const handler = ({ signal }: { readonly signal: AbortSignal }): Promise<void> => {
    begun.resolve()
    return new Promise((_, reject) => {
      signal.addEventListener('abort', () => {
        reasons.push(signal.reason)
        reject(signal.reason as Error)
      })
    })
  }
  await peer.events.subscribe(Numbered, 'endless', handler, { from: 'beginning' }).ready()
  await peer.events.publish(Numbered, 1)
  await begun.promise
  const { component } = peer.component
  await component.stopIntake!(AbortSignal.timeout(2_000))
  const reason = new Error('the app has no more time')
  await component.drain!(AbortSignal.abort(reason)).catch(() => {})
  assert.equal(reasons.length, 1)
  const other = await here.peer()
  const again = Promise.withResolvers<number>()
  other.events.subscribe(Numbered, 'endless', ({ data }) => again.resolve(data))
  assert.equal(await again.promise, 1)
})
