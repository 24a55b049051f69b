/**
 * Who waits is given places on the connections, for as long as there are any: reads join lines, all others take an idle
 * connection alone.
 *
 * Transactions and sessions leave the last connection to the others, so that a transaction whose body calls the
 * database outside itself cannot wait for itself. Under constant reads no connection would ever be idle, so one may be
 * reserved for those who need it alone.
 */
import type { Connection } from './connection.ts'
import { idleOne, placeFor, reserveOne } from './placement.ts'
import type { RoundTrip } from './round-trip.ts'
import { isLease, type Waiting, type WaitingRequest } from './waiting.ts'

export interface ServingHost {
  readonly connections: readonly Connection[]
  readonly waiting: Waiting
  readonly roundTrip: RoundTrip
  readonly maxOpen: number
}

export class Serving {
  readonly #host: ServingHost
  /** The last connection is for those who do not keep it. */
  readonly #mostLeases: number
  #readsNext = true
  /** Connections held by transactions, sessions and cursors. */
  leased = 0

  constructor(host: ServingHost) {
    this.#host = host
    this.#mostLeases = Math.max(1, host.maxOpen - 1)
  }

  /** Until nobody waits or no place is left. */
  serve(now: number): void {
    for (;;) {
      this.#readsNext = !this.#readsNext
      const served = this.#readsNext
        ? this.#serveRead(now) || this.#serveAlone(now)
        : this.#serveAlone(now) || this.#serveRead(now)
      if (!served) return
    }
  }

  /** Keeps one connection free of reads, where somebody is there who could take it. */
  reserve(): void {
    if (this.#isWorthReserving()) reserveOne(this.#host.connections)
  }

  /** Gives the reserved connection back to the reads when nobody is left to take it. */
  unreserve(): boolean {
    const reserved = this.#host.connections.find((each) => each.reserved)
    if (reserved === undefined || this.#isWorthReserving()) return false
    reserved.reserved = false
    return true
  }

  #serveRead(now: number): boolean {
    const { connections, waiting, roundTrip } = this.#host
    const first = waiting.reads.peek()
    if (first === undefined) return false
    const connection = placeFor(connections, first.request, now, roundTrip.ms)
    if (connection === undefined) return false
    waiting.reads.shift()
    connection.send(first.request, first.limitAt - now, now)
    return true
  }

  #serveAlone(now: number): boolean {
    const { connections, waiting } = this.#host
    const first = waiting.alone.peek()
    if (first === undefined) return false
    if (isLease(first) && this.leased >= this.#mostLeases) return this.#serveAloneStatement(now)
    const connection = idleOne(connections)
    if (connection === undefined) return false
    waiting.alone.shift()
    if (!isLease(first)) this.#sendAlone(connection, first, now)
    else {
      this.#taken(connection)
      connection.leased = true
      this.leased++
      first.resolve(connection)
    }
    return true
  }

  /** Leases have all that they may have; a single statement behind them still gets the last connection. */
  #serveAloneStatement(now: number): boolean {
    const { connections, waiting } = this.#host
    const connection = idleOne(connections)
    if (connection === undefined) return false
    const entry = waiting.alone.take((each) => !isLease(each))
    if (entry === undefined || isLease(entry)) return false
    this.#sendAlone(connection, entry, now)
    return true
  }

  #sendAlone(connection: Connection, { request, limitAt }: WaitingRequest, now: number): void {
    this.#taken(connection)
    connection.send(request, limitAt - now, now)
  }

  #taken(connection: Connection): void {
    connection.reserved = false
    this.unreserve()
  }

  #isWorthReserving(): boolean {
    const { alone } = this.#host.waiting
    if (this.leased < this.#mostLeases) return !alone.isEmpty
    return alone.has((entry) => !isLease(entry))
  }
}
