/**
 * The tests that every owner of a life cycle must pass, whatever it owns: the order of start and stop is the caller's
 * affair, and no order may hang, leak or leave something running.
 *
 *     lifecycleStress('replicator', () => createReplicator(…))
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ComponentBase } from '../app/component.ts'
import { systemClock } from '../core/clock.ts'
import { durationMs, type Duration } from '../core/duration.ts'
import type { OpenComponent } from './connect-component.ts'
import { assertNoLeaks, snapshotResources } from './leak-check.ts'

/** What has a life cycle. Both verbs may be called at any time and as often as one likes. */
export interface LifecycleOwner {
  start(): Promise<unknown>
  stop(): Promise<unknown>
}

export interface LifecycleStressOptions<Owner extends LifecycleOwner> {
  /** Starts and stops in the test that looks for leaks. @default 20 */
  readonly cycles?: number
  /** Every start and stop must settle in this time. @default '10s' */
  readonly within?: Duration
  /** Makes an owner whose next start fails, and later ones do not. Without it that test is left out. */
  readonly failingOnce?: () => Promise<Owner> | Owner
  /** Kinds of resources that do not count as leaks. @default none */
  readonly ignore?: readonly string[]
  /** Why the suite cannot run here. @default false */
  readonly skip?: false | string
}

/** How many turns of the event loop pass between `start` and `stop` in the tests that interrupt a start. */
const TURNS = [0, 1, 2, 3, 5, 8, 13, 21]

/** Registers the suite. `create` makes a new owner that was not started. */
export function lifecycleStress<Owner extends LifecycleOwner>(
  name: string,
  create: () => Promise<Owner> | Owner,
  options: LifecycleStressOptions<Owner> = {},
): void {
  const { cycles = 20, failingOnce, ignore = [], skip = false } = options
  const limitMs = durationMs(options.within ?? '10s', 'within')
  const soon = <T>(what: string, work: Promise<T>): Promise<T> => within(limitMs, `${name}: ${what}`, work)
  const check = { skip }

  void test(`${name}: start and stop again and again leave nothing open`, check, async () => {
    // The first cycle loads modules and fills caches, which stay.
    await cycle(await create(), soon)
    const earlier = snapshotResources()
    for (let i = 0; i < cycles; i++) await cycle(await create(), soon)
    await assertNoLeaks(earlier, { ignore })
  })

  void test(`${name}: starts at the same time are one start`, check, async () => {
    const owner = await create()
    await soon('concurrent starts', Promise.all([owner.start(), owner.start(), owner.start()]))
    await soon('start while it runs', owner.start())
    await soon('stop', owner.stop())
  })

  void test(`${name}: stop during start settles both and leaves nothing open`, check, async () => {
    await cycle(await create(), soon)
    const earlier = snapshotResources()
    for (const turns of TURNS) {
      const owner = await create()
      const started = owner.start().catch((error: unknown) => error)
      for (let i = 0; i < turns; i++) await new Promise((resolve) => setImmediate(resolve))
      await soon(`stop ${turns} turns after start`, owner.stop())
      await soon(`start that was stopped after ${turns} turns`, started)
    }
    await assertNoLeaks(earlier, { ignore })
  })

  void test(`${name}: stop before start is fine, and start after stop is refused`, check, async () => {
    const owner = await create()
    await soon('stop before start', owner.stop())
    await soon('start after stop', assert.rejects(owner.start()))
    await soon('stop after all', owner.stop())
  })

  void test(`${name}: stop twice, at the same time and later, is one stop`, check, async () => {
    const owner = await create()
    await soon('start', owner.start())
    await soon('two stops', Promise.all([owner.stop(), owner.stop()]))
    await soon('third stop', owner.stop())
  })

  if (failingOnce === undefined) return
  void test(`${name}: a start that failed leaves nothing open and may be tried again`, check, async () => {
    const warm = await failingOnce()
    await soon('failing start', assert.rejects(warm.start()))
    await soon('stop after a failed start', warm.stop())
    const earlier = snapshotResources()
    const owner = await failingOnce()
    await soon('failing start', assert.rejects(owner.start()))
    await soon('second start', owner.start())
    await soon('stop', owner.stop())
    await assertNoLeaks(earlier, { ignore })
  })
}

/** A component as an owner: connect and close as the app would call them, never twice at once. */
export function componentOwner<Api extends ComponentBase>(open: OpenComponent<Api>): LifecycleOwner {
  let connecting: Promise<void> | undefined
  return {
    start() {
      connecting ??= open.connect().catch((error: unknown) => {
        connecting = undefined
        throw error
      })
      return connecting
    },
    stop: () => open.close(),
  }
}

async function cycle(owner: LifecycleOwner, soon: <T>(what: string, work: Promise<T>) => Promise<T>) {
  await soon('start', owner.start())
  await soon('stop', owner.stop())
}

async function within<T>(ms: number, what: string, work: Promise<T>): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>()
  const timer = systemClock.setTimer(() => reject(new Error(`${what} was not over after ${ms} ms`)), ms)
  try {
    return await Promise.race([work, promise])
  } finally {
    timer.cancel()
  }
}
