/** Keeps the right number of connections: opens while somebody waits, keeps some warm, closes the old and the idle. */
import type { Clock, Timer } from '../../core/clock.ts'
import type { SluiceError } from '../../core/errors.ts'
import type { Logger } from '../../telemetry/log.ts'
import type { Connection, ConnectionOwner, ConnectionSettings } from './connection.ts'
import { openConnection } from './open-connection.ts'
import { isIdle } from './placement.ts'

export interface PoolSettings {
  readonly maxOpen: number
  /** Connections kept open without work. */
  readonly minIdle: number
  /** Idle connections above this number are closed at the next sweep. */
  readonly maxIdle: number
  /** Milliseconds after which a connection is replaced; 0 for never. */
  readonly maxLifetimeMs: number
  /** Milliseconds without work after which a connection above `minIdle` is closed; 0 for never. */
  readonly maxIdleMs: number
  readonly clock: Clock
  readonly log: Logger
  readonly random: () => number
  /**
   * Nothing is open and nothing can be opened: `open` has to be called again. Without it those who wait fail, and the
   * next statement tries again.
   */
  readonly onDown: ((error: SluiceError) => void) | undefined
}

/** Connections opened at once; more would hit `max_connections` and the server's fork rate for nothing. */
export const MAX_OPENING = 4
/** No growth for this long after the server refused a connection while others are open. */
const REFUSED_MS = 1_000
/** The same while nothing is open. */
const NONE_OPEN_MS = 100
const SWEEP_MS = 1_000

export interface KeeperHost {
  readonly connections: readonly Connection[]
  readonly owner: ConnectionOwner
  add(connection: Connection): void
  /** A connection could not be opened. */
  refused(error: unknown): void
  /** Serves who waits. */
  pump(): void
}

export class Keeper {
  readonly #settings: PoolSettings
  readonly #connect: ConnectionSettings
  readonly #host: KeeperHost
  #controller = new AbortController()
  #heldUntil = -Infinity
  #sweeper: Timer | undefined
  #isRunning = false
  /** Connections on their way. */
  opening = 0

  constructor(settings: PoolSettings, connect: ConnectionSettings, host: KeeperHost) {
    this.#settings = settings
    this.#connect = connect
    this.#host = host
  }

  /** Opens the warm minimum and begins to look after what is open. */
  start(): void {
    if (!this.#isRunning) {
      this.#isRunning = true
      this.#controller = new AbortController()
      this.#scheduleSweep()
    }
    this.keepWarm()
  }

  /** Opens nothing more; what is on its way is closed when it arrives. */
  stop(reason: unknown): void {
    this.#isRunning = false
    this.#controller.abort(reason)
    this.#sweeper?.cancel()
  }

  /** So many wait. */
  grow(waiting: number): void {
    if (this.#settings.clock.monotonic() < this.#heldUntil) return
    const room = this.#settings.maxOpen - this.#host.connections.length - this.opening
    this.#open(Math.min(waiting - this.opening, room))
  }

  keepWarm(): void {
    this.#open(this.#settings.minIdle - this.#host.connections.length - this.opening)
  }

  #open(count: number): void {
    const most = Math.min(count, MAX_OPENING - this.opening)
    for (let opened = 0; opened < most; opened++) this.#openOne(this.#controller.signal)
  }

  #openOne(signal: AbortSignal): void {
    if (signal.aborted) return
    this.opening++
    openConnection(this.#connect, this.#host.owner, signal).then(
      (connection) => {
        this.opening--
        if (signal.aborted) connection.destroy(undefined)
        else if (connection.isClosed) this.#refused(new Error('it was closed as soon as it was open'))
        else this.#host.add(connection)
      },
      (error: unknown) => {
        this.opening--
        if (!signal.aborted) this.#refused(error)
      },
    )
  }

  #refused(error: unknown): void {
    const { clock } = this.#settings
    const holdMs = this.#host.connections.length === 0 ? NONE_OPEN_MS : REFUSED_MS
    this.#heldUntil = clock.monotonic() + holdMs
    clock.setTimer(() => this.#host.pump(), holdMs, { keepAlive: false })
    this.#host.refused(error)
  }

  #scheduleSweep(): void {
    this.#sweeper = this.#settings.clock.setTimer(() => this.#sweep(), SWEEP_MS, { keepAlive: false })
  }

  #sweep(): void {
    const { connections } = this.#host
    const { minIdle } = this.#settings
    const now = this.#settings.clock.monotonic()
    let spare = connections.filter(isIdle).length - minIdle
    for (const connection of connections.slice()) {
      if (now > connection.expiresAt && !connection.leased) connection.retire()
      else if (isIdle(connection) && spare > 0 && this.#isTooMuch(connection, spare + minIdle, now)) {
        connection.retire()
        spare--
      }
    }
    this.keepWarm()
    this.#host.pump()
    this.#scheduleSweep()
  }

  #isTooMuch(connection: Connection, idle: number, now: number): boolean {
    const { maxIdle, maxIdleMs } = this.#settings
    const idleMs = now - connection.idleSince
    return (maxIdleMs > 0 && idleMs > maxIdleMs) || (idle > maxIdle && idleMs > SWEEP_MS)
  }
}
