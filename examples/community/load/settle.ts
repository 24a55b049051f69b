/** Watches how far behind the subscribers are, and waits until nothing is left to do. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Events } from 'sluice/events'
import type { Jobs } from 'sluice/jobs'

export interface Behind {
  readonly events: number
  readonly oldestMs: number
  readonly retrying: number
  readonly jobs: number
  /** Dead letters: what was given up. */
  readonly dead: number
}

const LOOK_MS = 250
/** Without any progress. */
const PATIENCE_MS = 60_000
/**
 * A shard writes its place down when it has handled something, and not when it has only passed events of other shards. In
 * a log in which nothing happens any more, `lag` goes on naming those; who has not moved for so long has none of its own.
 */
const IDLE_MS = 3_000

export async function behind({
  events,
  jobs,
}: {
  readonly events: Events
  readonly jobs: Jobs
}): Promise<Behind> {
  const [lag, queues] = await Promise.all([events.lag(), jobs.stats()])
  const busy = lag.filter(({ idleMs }) => idleMs < IDLE_MS)
  return {
    events: Math.max(0, ...busy.map((each) => each.events)),
    oldestMs: Math.max(0, ...busy.map((each) => each.oldestMs)),
    retrying: lag.reduce((sum, each) => sum + each.retrying, 0),
    jobs: queues.reduce((sum, { ready, scheduled, running }) => sum + ready + scheduled + running, 0),
    dead: lag.reduce((sum, each) => sum + each.dead, 0) + queues.reduce((sum, each) => sum + each.dead, 0),
  }
}

/** Resolves with how it was at last: with nothing left, or with what did not move for a minute. */
export async function settle(look: () => Promise<Behind>): Promise<Behind & { readonly settled: boolean }> {
  let last = ''
  let moved = performance.now()
  for (;;) {
    const now = await look()
    if (now.events + now.retrying + now.jobs === 0) return { ...now, settled: true }
    const shape = `${now.events} ${now.retrying} ${now.jobs}`
    if (shape !== last) [last, moved] = [shape, performance.now()]
    if (performance.now() - moved > PATIENCE_MS) return { ...now, settled: false }
    await sleep(LOOK_MS)
  }
}
