/**
 * The connections of one database, and which statement goes on which of them.
 *
 * Reads share connections: the first one (in the order of opening) whose line is expected to be served within
 * two milliseconds takes it, so that few connections carry long pipelines of quick statements, and slow statements spread
 * out to connections of their own. Measured here: one connection carries 42,000 selects a second for 50 callers, a
 * pool of ten that sends one at a time 21,000-25,000. Everything else (writes, transactions, sessions) gets a
 * connection alone, taken from the other end of the list.
 *
 * - Who finds no place waits in one of two bounded lines, which take turns; the pool grows up to `maxOpen` meanwhile.
 * - Transactions and sessions leave the last connection to the others, so that a transaction whose body calls the
 *   database outside itself cannot wait for itself.
 * - The pool replaces what it loses. When that fails with nothing open it reports `down` and fails all who wait; then
 *   it is the app that calls `open` again, with back-off.
 */
import { onAbort } from '../../core/abort.ts'
import { hasCode, SluiceError } from '../../core/errors.ts'
import type { Connection, ConnectionSettings, ConnectionOwner } from './connection.ts'
import { Keeper, MAX_OPENING, type PoolSettings } from './keeper.ts'
import { Line } from './line.ts'
import { openConnection } from './open-connection.ts'
import { Overtaker } from './overtaker.ts'
import { idleOne, isIdle, placeFor, reserveOne } from './placement.ts'
import { failureOf } from './failures.ts'
import { Request } from './request.ts'
import { describe } from './statement.ts'

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

interface Lease {
  readonly resolve: (connection: Connection) => void
  readonly reject: (error: unknown) => void
  done: boolean
}
interface Waiting {
  readonly request: Request
  readonly limitAt: number
}

export class ConnectionPool {
  readonly #settings: PoolSettings
  readonly #connect: ConnectionSettings
  readonly #connections: Connection[] = []
  readonly #reads = new Line<Waiting>((waiting) => waiting.request.done)
  readonly #alone = new Line<Waiting | Lease>((entry) =>
    'request' in entry ? entry.request.done : entry.done,
  )
  readonly #owner: ConnectionOwner
  #state: 'idle' | 'open' | 'down' | 'closed' = 'idle'
  #leased = 0
  #readsNext = true
  #drained: (() => void) | undefined
  readonly #keeper: Keeper
  readonly #overtaker: Overtaker
  /** Counters for `inspect`. */
  opened = 0
  lost = 0

  constructor(settings: PoolSettings, connect: ConnectionSettings) {
    this.#settings = settings
    this.#connect = connect
    this.#owner = {
      settled: () => {
        this.#overtaker.answered()
        this.#pump()
      },
      returned: (request, error) => this.#takeBack(request, error),
      closed: (connection, error) => this.#lose(connection, error),
    }
    this.#keeper = new Keeper(settings, connect, {
      connections: this.#connections,
      owner: this.#owner,
      add: (connection) => this.#add(connection),
      refused: (error) => this.#refused(error),
      pump: () => this.#pump(),
    })
    this.#overtaker = new Overtaker({
      clock: settings.clock,
      roundTrip: connect.roundTrip,
      connections: this.#connections,
      again: (request, limitAt) => {
        this.#reads.push({ request, limitAt })
        this.#pump()
      },
    })
  }

  /** Opens the first connection, then the warm minimum behind it. May be called again after `onDown`. */
  async open(signal: AbortSignal): Promise<void> {
    if (this.#state === 'closed') throw this.#closedError()
    if (this.#state !== 'open' || this.#connections.length === 0) {
      const connection = await this.#openOne(signal)
      this.#state = 'open'
      this.#add(connection)
    }
    this.#keeper.start()
  }

  /** Rejects, and leaves nothing behind, when the pool was closed meanwhile. */
  async #openOne(signal: AbortSignal): Promise<Connection> {
    const connection = await openConnection(this.#connect, this.#owner, signal)
    if (!this.#isClosed) return connection
    connection.destroy(undefined)
    throw this.#closedError()
  }

  get #isClosed(): boolean {
    return this.#state === 'closed'
  }

  /** Opens nothing before the first statement. */
  openLazily(): void {
    this.#state = 'open'
    this.#keeper.start()
  }

  /** Sends `request` now, or queues it. */
  run(request: Request, remainingMs: number, signal: AbortSignal): void {
    const now = this.#settings.clock.monotonic()
    if (this.#state !== 'open') {
      request.fail(this.#state === 'closed' ? this.#closedError() : this.#downError())
      return
    }
    const shared = request.options.repeatable
    const line = shared ? this.#reads : this.#alone
    const connection = line.isEmpty ? this.#placeFor(request, now) : undefined
    if (connection !== undefined) {
      connection.send(request, remainingMs, now)
      if (connection.inFlight > 1) this.#overtaker.watch()
    } else {
      line.push({ request, limitAt: now + remainingMs })
      this.#pump()
    }
    request.onSettled = onAbort(signal, (reason) => {
      request.fail(reason)
      if (request.connection === undefined) this.#gaveUpWaiting()
      else if (!request.connection.abandon(request)) this.#overtaker.watch()
    })
    if (request.done) request.onSettled?.()
  }

  /** A connection for the caller alone, until `release`. */
  lease(signal: AbortSignal): Promise<Connection> {
    return new Promise((resolve, reject) => {
      if (this.#state !== 'open') {
        reject(this.#state === 'closed' ? this.#closedError() : this.#downError())
        return
      }
      signal.throwIfAborted()
      let off = (): void => {}
      const lease: Lease = {
        resolve: (connection) => {
          off()
          lease.done = true
          resolve(connection)
        },
        reject: (error) => {
          off()
          lease.done = true
          reject(error)
        },
        done: false,
      }
      this.#alone.push(lease)
      this.#pump()
      if (lease.done) return
      off = onAbort(signal, (reason) => {
        lease.reject(reason)
        this.#gaveUpWaiting()
      })
    })
  }

  /** Gives back what `lease` gave. A connection in an unknown state is destroyed by its user first. */
  release(connection: Connection): void {
    if (!connection.leased) return
    connection.leased = false
    this.#leased--
    if (connection.isClosed) {
      if (this.#state === 'closed') this.#whenDrained()
      return
    }
    connection.idleSince = this.#settings.clock.monotonic()
    if (!connection.isOpen) connection.destroy(undefined)
    this.#pump()
  }

  /**
   * Takes the real path: a new connection, which then replaces the oldest idle one. Where there is no room for one, or
   * the server has none to give, those that are open speak for it. A pool that is down or closed fails it, also when
   * the server could be reached: nobody is served until `open` is called.
   */
  async check(signal: AbortSignal): Promise<void> {
    if (this.#state !== 'open') throw this.#isClosed ? this.#closedError() : this.#downError()
    const isFull = this.#connections.length + this.#keeper.opening >= this.#settings.maxOpen
    if (isFull || !(await this.#replaceOne(signal))) {
      const request = new Request(describe('select 1'), undefined, { repeatable: true })
      this.run(request, Infinity, signal)
      await request.promise
    }
  }

  /** False when the server has no connection left and we have some. */
  async #replaceOne(signal: AbortSignal): Promise<boolean> {
    let connection: Connection
    try {
      connection = await this.#openOne(signal)
    } catch (error) {
      if (this.#connections.length > 0 && hasCode(error, 'SLUICE_OVERLOADED')) return false
      throw error
    }
    this.#add(connection)
    if (this.#connections.length <= this.#settings.minIdle) return true
    const idle = this.#connections.find((each) => each !== connection && isIdle(each))
    ;(idle ?? connection).retire()
    return true
  }

  stats(): PoolStats {
    let inFlight = 0
    let idle = 0
    for (const connection of this.#connections) {
      inFlight += connection.inFlight
      if (isIdle(connection)) idle++
    }
    return {
      open: this.#connections.length,
      opening: this.#keeper.opening,
      leased: this.#leased,
      idle,
      inFlight,
      waiting: this.#reads.length + this.#alone.length,
      opened: this.opened,
      lost: this.lost,
    }
  }

  /** Settles who waits, lets what runs finish until the signal aborts, closes every connection. */
  async close(signal: AbortSignal): Promise<void> {
    if (this.#state === 'closed') return
    this.#state = 'closed'
    const error = this.#closedError()
    this.#keeper.stop(error)
    this.#overtaker.stop()
    this.#failWaiting(error)
    const drained = new Promise<void>((resolve) => (this.#drained = resolve))
    for (const connection of this.#connections.slice()) connection.retire()
    this.#whenDrained()
    const off = onAbort(signal, () => {
      for (const connection of this.#connections.slice()) connection.destroy(error)
      this.#drained?.()
    })
    await drained
    off()
  }

  #placeFor(request: Request, now: number): Connection | undefined {
    return placeFor(this.#connections, request, now, this.#connect.roundTrip.ms)
  }

  /** Serves who waits, for as long as there is a place. */
  #pump(): void {
    this.#unreserve()
    if (this.#reads.isEmpty && this.#alone.isEmpty) return
    if (this.#state !== 'open') return
    const now = this.#settings.clock.monotonic()
    for (;;) {
      this.#readsNext = !this.#readsNext
      const served = this.#readsNext
        ? this.#serveRead(now) || this.#serveAlone(now)
        : this.#serveAlone(now) || this.#serveRead(now)
      if (!served) break
    }
    // More than may be opened at once need not be counted, and there may be thousands.
    const waiting = this.#reads.lengthUpTo(MAX_OPENING) + this.#alone.lengthUpTo(MAX_OPENING)
    if (waiting === 0) return
    const mayGrow = this.#connections.length + this.#keeper.opening < this.#settings.maxOpen
    if (mayGrow) this.#keeper.grow(waiting)
    else if (this.#isWorthReserving()) reserveOne(this.#connections)
  }

  #serveRead(now: number): boolean {
    const waiting = this.#reads.peek()
    if (waiting === undefined) return false
    const connection = this.#placeFor(waiting.request, now)
    if (connection === undefined) return false
    this.#reads.shift()
    connection.send(waiting.request, waiting.limitAt - now, now)
    return true
  }

  #serveAlone(now: number): boolean {
    const first = this.#alone.peek()
    if (first === undefined) return false
    if (!('request' in first) && this.#leased >= this.#mostLeases) {
      return this.#serveAloneStatement(now)
    }
    const connection = idleOne(this.#connections)
    if (connection === undefined) return false
    this.#alone.shift()
    connection.reserved = false
    this.#unreserve()
    if ('request' in first) connection.send(first.request, first.limitAt - now, now)
    else {
      connection.leased = true
      this.#leased++
      first.resolve(connection)
    }
    return true
  }

  /** Leases have all that they may have; a single statement behind them still gets the last connection. */
  #serveAloneStatement(now: number): boolean {
    const connection = idleOne(this.#connections)
    if (connection === undefined) return false
    const entry = this.#alone.take((each) => 'request' in each)
    if (entry === undefined || !('request' in entry)) return false
    connection.reserved = false
    this.#unreserve()
    connection.send(entry.request, entry.limitAt - now, now)
    return true
  }

  /** Gives the reserved connection back to the reads when nobody is left to take it. */
  #unreserve(): boolean {
    const reserved = this.#connections.find((each) => each.reserved)
    if (reserved === undefined || this.#isWorthReserving()) return false
    reserved.reserved = false
    return true
  }

  #gaveUpWaiting(): void {
    if (this.#unreserve()) this.#pump()
  }

  #isWorthReserving(): boolean {
    if (this.#leased < this.#mostLeases) return !this.#alone.isEmpty
    return this.#alone.has((entry) => 'request' in entry)
  }

  /** The last connection is for those who do not keep it. */
  get #mostLeases(): number {
    return Math.max(1, this.#settings.maxOpen - 1)
  }

  #add(connection: Connection): void {
    // Lost between its first answer and now: the pool has not known it and will not hear of it.
    if (connection.isClosed) return
    this.opened++
    const { maxLifetimeMs, random } = this.#settings
    // Up to a tenth earlier, so that connections opened together are not replaced together.
    if (maxLifetimeMs > 0) connection.expiresAt = connection.openedAt + maxLifetimeMs * (1 - 0.1 * random())
    this.#connections.push(connection)
    this.#pump()
  }

  #lose(connection: Connection, error: SluiceError | undefined): void {
    const index = this.#connections.indexOf(connection)
    if (index === -1) return
    this.#connections.splice(index, 1)
    if (this.#state === 'closed') {
      this.#whenDrained()
      return
    }
    if (error !== undefined) {
      this.lost++
      this.#settings.log.debug({ err: error }, 'a connection was lost')
    }
    if (this.#state !== 'open') return
    this.#keeper.keepWarm()
    this.#pump()
  }

  /** A read whose line broke, or whose plan was stale: once more, on whatever connection is free. */
  #takeBack(request: Request, error: SluiceError): void {
    if (request.requeued++ > 0 || this.#state !== 'open' || request.done) {
      request.fail(error)
      return
    }
    const waiting = { request, limitAt: Math.max(request.deadlineAt, this.#settings.clock.monotonic() + 1) }
    ;(request.options.repeatable ? this.#reads : this.#alone).push(waiting)
    queueMicrotask(() => this.#pump())
  }

  #refused(thrown: unknown): void {
    const error = failureOf(thrown, { component: this.#connect.component })
    const { onDown, log } = this.#settings
    if (this.#connections.length > 0 || this.#keeper.opening > 0) {
      log.warn({ err: error }, 'no further connection could be opened')
      return
    }
    if (onDown !== undefined) {
      this.#state = 'down'
      this.#keeper.stop(error)
    }
    this.#failWaiting(error)
    onDown?.(error)
  }

  #failWaiting(error: SluiceError): void {
    for (let entry = this.#reads.shift(); entry !== undefined; entry = this.#reads.shift())
      entry.request.fail(error)
    for (let entry = this.#alone.shift(); entry !== undefined; entry = this.#alone.shift()) {
      if ('request' in entry) entry.request.fail(error)
      else entry.reject(error)
    }
  }

  #whenDrained(): void {
    if (this.#connections.length === 0) this.#drained?.()
  }

  #closedError(): SluiceError {
    const { component } = this.#connect
    return new SluiceError('SLUICE_CLOSED', `${component} is closed`, { component })
  }

  #downError(): SluiceError {
    const { component } = this.#connect
    return new SluiceError('SLUICE_UNAVAILABLE', `${component} is not connected`, {
      component,
      retryable: true,
    })
  }
}
