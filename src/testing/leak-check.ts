/**
 * Finds what a test leaves behind: sockets, servers, timers, child processes, threads, files, listeners on `process`.
 *
 *     import { leakCheck } from 'sluice/testing'
 *     leakCheck()   // at the top of a test file: fails it when something is still open at its end
 *
 * Things close with a delay (a socket a turn or two after its `destroy`), so that the check waits for a moment until all
 * is as before, and only then complains.
 */
import { readdirSync } from 'node:fs'
import { after, before } from 'node:test'
import { systemClock } from '../core/clock.ts'
import { durationMs, type Duration } from '../core/duration.ts'

/** What is open: how many of each kind. */
export type ResourceSnapshot = ReadonlyMap<string, number>

export interface LeakCheckOptions {
  /** How long things may take to close. @default '2s' */
  readonly within?: Duration
  /** Kinds that do not count, as named in the message. @default none */
  readonly ignore?: readonly string[]
}

const POLL_MS = 5
/** Kinds that come and go with any piece of code and hold nothing. */
const PASSING = new Set(['Immediate', 'TickObject', 'FSReqPromise', 'FSReqCallback', 'CloseReq'])

/** Counts what is open in this process now. File descriptors are counted where the system tells them (Linux). */
export function snapshotResources(): ResourceSnapshot {
  const counts = new Map<string, number>()
  const add = (kind: string, count = 1): void => void counts.set(kind, (counts.get(kind) ?? 0) + count)
  for (const kind of process.getActiveResourcesInfo()) {
    if (!PASSING.has(kind)) add(kind)
  }
  for (const event of process.eventNames()) {
    add(`process listener "${String(event)}"`, process.listenerCount(event))
  }
  const descriptors = openDescriptors()
  if (descriptors !== undefined) add('file descriptor', descriptors)
  return counts
}

/** What there is more of now, one line each; empty when there is nothing. */
export function leaksSince(earlier: ResourceSnapshot, ignore: readonly string[] = []): readonly string[] {
  const leaks: string[] = []
  for (const [kind, count] of snapshotResources()) {
    const before = earlier.get(kind) ?? 0
    if (count > before && !ignore.includes(kind)) leaks.push(`${kind}: ${before} before, ${count} now`)
  }
  return leaks
}

/** Resolves once nothing is open that was not before; rejects with the list when something stays. */
export async function assertNoLeaks(
  earlier: ResourceSnapshot,
  options: LeakCheckOptions = {},
): Promise<void> {
  const deadline = systemClock.monotonic() + durationMs(options.within ?? '2s', 'within')
  for (;;) {
    const leaks = leaksSince(earlier, options.ignore)
    if (leaks.length === 0) return
    if (systemClock.monotonic() >= deadline) throw new Error(`left open:\n  ${leaks.join('\n  ')}`)
    await systemClock.sleep(POLL_MS)
  }
}

/** Registers hooks of node:test around the whole file, or around the suite in which it is called. */
export function leakCheck(options: LeakCheckOptions = {}): void {
  let earlier: ResourceSnapshot = new Map()
  before(() => {
    earlier = snapshotResources()
  })
  after(() => assertNoLeaks(earlier, options))
}

/** Regular files and anonymous inodes of the runtime come and go with modules; sockets and pipes are what leaks. */
function openDescriptors(): number | undefined {
  try {
    // One of them is the directory that is just being read.
    return readdirSync('/proc/self/fd').length - 1
  } catch {
    return undefined
  }
}
