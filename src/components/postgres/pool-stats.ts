/** What a pool says about its connections. */
import type { Connection } from './connection.ts'
import { isIdle } from './placement.ts'

export interface PoolStats {
  readonly open: number
  readonly opening: number
  /** Held by transactions, sessions and cursors. */
  readonly leased: number
  readonly idle: number
  /** Statements sent and not answered. */
  readonly inFlight: number
  /** Calls that wait for a connection. */
  readonly waiting: number
  /** Since the start. */
  readonly opened: number
  /** Ended by the server or the network, since the start. */
  readonly lost: number
}

type Counts = Pick<PoolStats, 'opening' | 'leased' | 'waiting' | 'opened' | 'lost'>

export function statsOf(connections: readonly Connection[], counts: Counts): PoolStats {
  let inFlight = 0
  let idle = 0
  for (const connection of connections) {
    inFlight += connection.inFlight
    if (isIdle(connection)) idle++
  }
  const { opening, leased, waiting, opened, lost } = counts
  return { open: connections.length, opening, leased, idle, inFlight, waiting, opened, lost }
}
