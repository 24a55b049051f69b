/** Which connection takes the next statement: choices over the pool's list, which change nothing but a mark. */
import type { Connection } from './connection.ts'
import type { Request } from './request.ts'

/** A shared line may be this long, in milliseconds of expected work. */
const SHARE_MS = 2
/** And this long in statements. */
const SHARE_COUNT = 128
/** A head older than this, and twice the network's time, is stuck: nobody joins its line. */
const STUCK_MS = 20

export function isIdle(connection: Connection): boolean {
  return connection.isOpen && !connection.leased && connection.inFlight === 0
}

/**
 * The first connection whose line `request` may join, in the order of opening, so that few carry long lines. What was
 * never answered before takes an idle one: nobody knows how long it will hold up who joins it.
 */
export function placeFor(
  connections: readonly Connection[],
  { options, statement }: Request,
  now: number,
  roundTripMs: number,
): Connection | undefined {
  if (!options.repeatable) return idleOne(connections)
  for (const connection of connections) {
    if (!connection.isOpen || connection.leased || connection.line.alone || connection.reserved) continue
    if (connection.inFlight === 0) return connection
    if (statement.meanMs === undefined) continue
    if (connection.line.loadMs >= SHARE_MS || connection.inFlight >= SHARE_COUNT) continue
    if (now - connection.line.headSince < STUCK_MS + 2 * roundTripMs) return connection
  }
  return undefined
}

/** From the other end of the list, away from the lines of reads. */
export function idleOne(connections: readonly Connection[]): Connection | undefined {
  return connections.findLast(isIdle)
}

/** Under constant reads no connection would ever be idle: the one with least to do takes no more until it is. */
export function reserveOne(connections: readonly Connection[]): void {
  if (connections.some((each) => each.reserved)) return
  let least: Connection | undefined
  for (const each of connections) {
    if (!each.isOpen || each.leased || each.line.alone) continue
    if (least === undefined || each.line.loadMs < least.line.loadMs) least = each
  }
  if (least !== undefined) least.reserved = true
}
