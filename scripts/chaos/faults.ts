/** The faults of a run in their order: kills, and spread evenly among them freezes and stops, one of each first. */
import type { Fault } from './watch.ts'

export interface FaultCounts {
  readonly kills: number
  readonly freezes: number
  readonly stops: number
}

export function* faultsOf({ kills, freezes, stops }: FaultCounts): Iterable<Fault> {
  for (let at = 0; at < kills; at += 1) {
    if (isDue(freezes, kills, at)) yield 'freeze'
    if (isDue(stops, kills, at)) yield 'stop'
    yield 'kill'
  }
}

/** Is one of `count` due at this place of `places`? */
function isDue(count: number, places: number, at: number): boolean {
  if (at === 0) return count > 0
  return Math.floor(((at - 1) * count) / places) < Math.floor((at * count) / places)
}
