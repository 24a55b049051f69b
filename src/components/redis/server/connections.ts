/**
 * The connections to one server: one as a rule, as commands are pipelined and one connection carries hundreds of
 * callers; more, up to `poolSize`, while the open ones are busy.
 *
 * Commands of one caller keep their order only on one connection. With more, calls that were not awaited may overtake
 * each other. A connection past its age, or idle beyond the minimum, is closed once its replies are in. Losing one of
 * several costs what it carried; losing the last is a loss of the component.
 */
import type { Timer } from '../../../core/clock.ts'
import type { SluiceError } from '../../../core/errors.ts'
import type { ConnectionSettings } from './client.ts'
import { Connection } from './connection.ts'
import { closedError, unavailable } from './errors.ts'
import type { RedisModule } from './peer.ts'

export interface ConnectionsOptions {
  readonly settings: ConnectionSettings
  readonly poolSize: number
  readonly minIdle: number
  /** Milliseconds; 0 for never. */
  readonly maxAgeMs: number
  /** Milliseconds; 0 for never. */
  readonly idleTimeoutMs: number
  readonly onLost: (error: SluiceError) => void
}

/** Commands in flight on a connection from which on another is opened. */
const BUSY = 64
const TEND_EVERY_MS = 1_000

export class Connections {
  readonly #options: ConnectionsOptions
  readonly #stopped = new AbortController()
  #open: Connection[] = []
  #peer: RedisModule | undefined
  #opening: Promise<void> | undefined
  #tending: Timer | undefined
  #busyAt = 0
  readonly #retiring = new Set<Promise<void>>()

  constructor(options: ConnectionsOptions) {
    this.#options = options
  }

  get size(): number {
    return this.#open.length
  }

  get inFlight(): number {
    return this.#open.reduce((total, connection) => total + connection.inFlight, 0)
  }

  /** Opens the minimum. Leaves nothing open when it rejects. */
  async open(peer: RedisModule, signal: AbortSignal): Promise<void> {
    this.#peer = peer
    try {
      for (let count = Math.max(1, this.#options.minIdle); count > 0; count -= 1)
        await this.#add(peer, signal)
    } catch (error) {
      for (const connection of this.#open.splice(0)) connection.destroy()
      throw error
    }
    const { poolSize, maxAgeMs } = this.#options
    if (poolSize > 1 || maxAgeMs > 0) this.#tendLater()
  }

  /** The connection for a command: the least busy one. */
  pick(): Connection {
    const first = this.#open[0]
    if (first === undefined) {
      throw this.#stopped.signal.aborted
        ? closedError(this.#options.settings.component)
        : unavailable(this.#options.settings.component, 'there is no connection')
    }
    if (this.#options.poolSize === 1) return first
    const best = this.#open.reduce((least, each) => (each.inFlight < least.inFlight ? each : least), first)
    if (best.inFlight >= BUSY) {
      this.#busyAt = this.#now()
      this.#grow()
    }
    return best
  }

  async close(signal: AbortSignal): Promise<void> {
    this.#stopped.abort(closedError(this.#options.settings.component))
    this.#tending?.cancel()
    await this.#opening
    await Promise.all([
      ...this.#open.splice(0).map((connection) => connection.close(signal)),
      ...this.#retiring,
    ])
  }

  async #add(peer: RedisModule, signal: AbortSignal): Promise<void> {
    const connection = await Connection.open(peer, this.#options.settings, signal, (error) => {
      this.#open = this.#open.filter((each) => each !== connection)
      if (this.#open.length > 0 || this.#stopped.signal.aborted) return
      this.#tending?.cancel()
      this.#options.onLost(error)
    })
    this.#open.push(connection)
  }

  /** One more, in the background. That it fails is no loss: the others carry on, and the next busy moment tries again. */
  #grow(): void {
    const peer = this.#peer
    if (peer === undefined || this.#opening !== undefined || this.#stopped.signal.aborted) return
    if (this.#open.length >= this.#options.poolSize) return
    this.#opening = this.#add(peer, this.#stopped.signal)
      .catch(() => undefined)
      .finally(() => (this.#opening = undefined))
  }

  #tendLater(): void {
    this.#tending?.cancel()
    this.#tending = this.#options.settings.clock.setTimer(
      () => {
        this.#tend()
        if (this.#open.length > 0) this.#tendLater()
      },
      TEND_EVERY_MS,
      { keepAlive: false },
    )
  }

  #tend(): void {
    const { minIdle, maxAgeMs, idleTimeoutMs } = this.#options
    const now = this.#now()
    const least = Math.max(1, minIdle)
    if (this.#open.length < least) this.#grow()
    if (idleTimeoutMs > 0 && now - this.#busyAt > idleTimeoutMs && this.#open.length > least) {
      this.#retire(this.#open[this.#open.length - 1] as Connection)
      return
    }
    const old = maxAgeMs === 0 ? undefined : this.#open.find((each) => now - each.openedAt > maxAgeMs)
    if (old !== undefined) void this.#replace(old)
  }

  /** The new one first, so that there is always one. */
  async #replace(old: Connection): Promise<void> {
    const peer = this.#peer
    if (peer === undefined || this.#opening !== undefined) return
    const replacing = this.#add(peer, this.#stopped.signal).then(
      () => this.#retire(old),
      () => undefined,
    )
    this.#opening = replacing.finally(() => (this.#opening = undefined))
    await this.#opening
  }

  #retire(connection: Connection): void {
    this.#open = this.#open.filter((each) => each !== connection)
    const closing = connection
      .close(AbortSignal.timeout(this.#options.settings.replyTimeoutMs))
      .catch(() => undefined)
      .finally(() => this.#retiring.delete(closing))
    this.#retiring.add(closing)
  }

  #now(): number {
    return this.#options.settings.clock.monotonic()
  }
}
