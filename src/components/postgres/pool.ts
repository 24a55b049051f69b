/**
 * The connections of one database, and which statement goes on which of them.
 *
 * Reads share connections: the first one (in the order of opening) whose line is expected to be served within
 * two milliseconds takes it, so that few connections carry long pipelines of quick statements, and slow statements spread
 * out to connections of their own. Measured here: one connection carries 42,000 selects a second for 50 callers, a
 * pool of ten that sends one at a time 21,000-25,000. Everything else (writes, transactions, sessions) gets a
 * connection alone, taken from the other end of the list.
 *
 * - Who finds no place waits in one of two bounded lines (waiting.ts), which take turns (serving.ts); the pool grows up
 *   to `maxOpen` meanwhile.
 * - The pool replaces what it loses. When that fails with nothing open it reports `down` and fails all who wait; then
 *   it is the app that calls `open` again, with back-off.
 */
import { onAbort } from '../../core/abort.ts'
import { hasCode, type SluiceError } from '../../core/errors.ts'
import type { Connection, ConnectionSettings, ConnectionOwner } from './connection.ts'
import { failureOf } from './failures.ts'
import { closedError, downError } from './gone.ts'
import { Keeper, MAX_OPENING, type PoolSettings } from './keeper.ts'
import { Lease } from './lease.ts'
import { openConnection } from './open-connection.ts'
import { Overtaker } from './overtaker.ts'
import { isIdle, placeFor } from './placement.ts'
import { statsOf, type PoolStats } from './pool-stats.ts'
import { Request } from './request.ts'
import { restored } from './restore.ts'
import { Serving } from './serving.ts'
import { describe } from './statement.ts'
import { Waiting } from './waiting.ts'

export class ConnectionPool {
  readonly #settings: PoolSettings
  readonly #connect: ConnectionSettings
  readonly #connections: Connection[] = []
  readonly #waiting = new Waiting()
  readonly #serving: Serving
  readonly #owner: ConnectionOwner
  #state: 'idle' | 'open' | 'down' | 'closed' = 'idle'
  #drained: (() => void) | undefined
  readonly #keeper: Keeper
  readonly #overtaker: Overtaker
  #opened = 0
  #lost = 0

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
    this.#serving = new Serving({
      connections: this.#connections,
      waiting: this.#waiting,
      roundTrip: connect.roundTrip,
      maxOpen: settings.maxOpen,
    })
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
        this.#waiting.add({ request, limitAt })
        this.#pump()
      },
    })
  }

  /** Opens the first connection, then the warm minimum behind it. May be called again after `onDown`. */
  async open(signal: AbortSignal): Promise<void> {
    if (this.#state === 'closed') throw this.#refusal()
    if (this.#state !== 'open' || this.#connections.length === 0) {
      const connection = await this.#openOne(signal).catch((error: unknown) => {
        // Who came to a pool that was opened lazily has waited for this one.
        this.#pump()
        throw error
      })
      this.#state = 'open'
      this.#add(connection)
    }
    this.#keeper.start()
  }

  /** Rejects, and leaves nothing behind, when the pool was closed meanwhile. */
  async #openOne(signal: AbortSignal): Promise<Connection> {
    this.#keeper.opening++
    try {
      const connection = await openConnection(this.#connect, this.#owner, signal)
      if (!this.#isClosed) return connection
      connection.destroy(undefined)
      throw this.#refusal()
    } finally {
      this.#keeper.opening--
    }
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
      request.fail(this.#refusal())
      return
    }
    const line = this.#waiting.lineOf(request)
    const connection = line.isEmpty
      ? placeFor(this.#connections, request, now, this.#connect.roundTrip.ms)
      : undefined
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
    if (this.#state !== 'open') return Promise.reject(this.#refusal())
    const lease = new Lease()
    if (signal.aborted) lease.reject(signal.reason)
    else {
      this.#waiting.alone.push(lease)
      this.#pump()
      lease.listenTo(signal, () => this.#gaveUpWaiting())
    }
    return lease.promise
  }

  /** Gives back what `lease` gave. A connection in an unknown state is destroyed by its user first. */
  release(connection: Connection): void {
    if (!connection.leased) return
    if (connection.isSoiled && connection.isOpen) {
      void restored(connection, this.#settings.clock).then(() => this.release(connection))
      return
    }
    connection.leased = false
    this.#serving.leased--
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
    if (this.#state !== 'open') throw this.#refusal()
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
    return statsOf(this.#connections, {
      opening: this.#keeper.opening,
      leased: this.#serving.leased,
      waiting: this.#waiting.length,
      opened: this.#opened,
      lost: this.#lost,
    })
  }

  /** Settles who waits, lets what runs finish until the signal aborts, closes every connection. */
  async close(signal: AbortSignal): Promise<void> {
    if (this.#state === 'closed') return
    this.#state = 'closed'
    const error = this.#refusal()
    this.#keeper.stop(error)
    this.#overtaker.stop()
    this.#waiting.failAll(error)
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

  /** Serves who waits, for as long as there is a place, and sees to it that there will be more. */
  #pump(): void {
    this.#serving.unreserve()
    if (this.#waiting.isEmpty || this.#state !== 'open') return
    this.#serving.serve(this.#settings.clock.monotonic())
    const waiting = this.#waiting.lengthUpTo(MAX_OPENING)
    if (waiting === 0) return
    const mayGrow = this.#connections.length + this.#keeper.opening < this.#settings.maxOpen
    if (mayGrow) this.#keeper.grow(waiting)
    else this.#serving.reserve()
  }

  #gaveUpWaiting(): void {
    if (this.#serving.unreserve()) this.#pump()
  }

  #add(connection: Connection): void {
    // Lost between its first answer and now: the pool has not known it and will not hear of it.
    if (connection.isClosed) return
    this.#opened++
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
      this.#lost++
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
    const limitAt = Math.max(request.deadlineAt, this.#settings.clock.monotonic() + 1)
    this.#waiting.add({ request, limitAt })
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
    this.#waiting.failAll(error)
    onDown?.(error)
  }

  #whenDrained(): void {
    if (this.#connections.length === 0) this.#drained?.()
  }

  /** Why nobody is served. */
  #refusal(): SluiceError {
    const { component } = this.#connect
    return this.#isClosed ? closedError(component) : downError(component)
  }
}
