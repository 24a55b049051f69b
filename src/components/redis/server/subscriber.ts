/**
 * The connection that listens. Messages that are published while it is down are lost: that is what Redis promises, so
 * each return is told to the listeners as a gap.
 *
 *     idle ──first listener──▶ connecting ──▶ live ──lost──▶ connecting (after a jittered wait) …
 *       ▲                                       │ last listener leaves
 *       └───────────────────────────────────────┘
 *
 * It is a connection apart, since a subscribed one takes no other commands in version 2 of the protocol, and since the
 * server ends a subscriber that reads too slowly: commands shall not suffer with it. It reconnects by itself for the
 * same reason, while the component as a whole goes on.
 */
import { onAbort } from '../../../core/abort.ts'
import { toError } from '../../../core/errors.ts'
import type { Logger } from '../../../telemetry/log.ts'
import { LogLimit } from '../../../telemetry/log-limit.ts'
import type { ChannelListener } from '../backend.ts'
import type { ConnectionSettings } from './client.ts'
import { Connection } from './connection.ts'
import { loadRedis } from './peer.ts'

export interface SubscriberOptions {
  readonly settings: ConnectionSettings
  readonly random: () => number
  readonly log: Logger
}

interface Listening {
  readonly listener: ChannelListener
  readonly onMessage: (message: string, channel: string) => void
  /** Was it ever live? Then a return is a gap. */
  wasLive: boolean
}

const nothing = (): void => {}
const RETRY_BASE_MS = 100
/** A server that is frozen shall not hold up a shutdown. */
const LEAVE_LIMIT_MS = 1_000
const RETRY_CAP_MS = 10_000
/** A server that comes and goes is told of once a minute. */
const LOG_EVERY_MS = 60_000

export class Subscriber {
  readonly #options: SubscriberOptions
  readonly #listening = new Set<Listening>()
  readonly #stopped = new AbortController()
  readonly #losses: LogLimit
  readonly #failures: LogLimit
  #connection: Connection | undefined
  #loop: Promise<void> | undefined
  #isAllowed = false
  /** Ends the live phase: nobody listens any more, or, with an error, the server refused a subscription. */
  #endLive: (refused?: unknown) => void = nothing

  constructor(options: SubscriberOptions) {
    this.#options = options
    this.#losses = new LogLimit(options.settings.clock, LOG_EVERY_MS)
    this.#failures = new LogLimit(options.settings.clock, LOG_EVERY_MS)
  }

  get state(): 'idle' | 'connecting' | 'live' {
    if (this.#connection !== undefined) return 'live'
    return this.#loop === undefined ? 'idle' : 'connecting'
  }

  get size(): number {
    return this.#listening.size
  }

  /** Connecting is allowed from now on: the component has been connected for the first time. */
  start(): void {
    this.#isAllowed = true
    this.#ensureLoop()
  }

  listen(listener: ChannelListener): () => Promise<void> {
    const entry: Listening = {
      listener,
      onMessage: (message, channel) => listener.onMessage(message, channel),
      wasLive: false,
    }
    this.#listening.add(entry)
    if (this.#connection === undefined) this.#ensureLoop()
    else this.#subscribe(this.#connection, entry)
    return () => this.#leave(entry)
  }

  async close(): Promise<void> {
    this.#stopped.abort()
    this.#listening.clear()
    this.#endLive()
    await this.#loop
  }

  /** Resolves when the server sends nothing more for it, or has not said so in time. */
  async #leave(entry: Listening): Promise<void> {
    if (!this.#listening.delete(entry)) return
    if (this.#connection !== undefined) await this.#unsubscribe(this.#connection, entry)
    if (this.#listening.size === 0) this.#endLive()
  }

  async #unsubscribe({ client }: Connection, entry: Listening): Promise<void> {
    const { channel, pattern } = entry.listener
    const limit = Promise.withResolvers<void>()
    const timer = this.#options.settings.clock.setTimer(limit.resolve, LEAVE_LIMIT_MS, { keepAlive: false })
    const left = pattern
      ? client.pUnsubscribe(channel, entry.onMessage)
      : client.unsubscribe(channel, entry.onMessage)
    try {
      await Promise.race([left, limit.promise])
    } catch {
      // It fails only when the connection is lost, and then there is nothing to leave.
    } finally {
      timer.cancel()
    }
  }

  #ensureLoop(): void {
    if (this.#loop !== undefined || !this.#isAllowed || this.#listening.size === 0) return
    if (this.#stopped.signal.aborted) return
    this.#loop = this.#run().finally(() => {
      this.#loop = undefined
      // A listener may have come while the loop was on its way out.
      this.#ensureLoop()
    })
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopped
    const { settings, random } = this.#options
    for (let failures = 0; this.#listening.size > 0 && !signal.aborted;) {
      try {
        await this.#live(signal)
        failures = 0
      } catch (error) {
        if (signal.aborted) return
        failures += 1
        this.#tell(this.#failures, error, 'subscriptions cannot connect, trying on')
      }
      if (this.#listening.size === 0) return
      // Half of it is fixed, so that a connection that is accepted and dropped at once makes no hot loop.
      const wait = Math.min(RETRY_CAP_MS, RETRY_BASE_MS * 2 ** Math.min(failures, 10))
      await settings.clock
        .sleep(wait / 2 + (random() * wait) / 2, { signal, keepAlive: false })
        .catch(() => undefined)
    }
  }

  /** Connects and stays until the connection is lost or nobody listens. */
  async #live(signal: AbortSignal): Promise<void> {
    const peer = await loadRedis()
    const { settings } = this.#options
    const ended = Promise.withResolvers<void>()
    const connection = await Connection.open(peer, settings, signal, (error) => {
      this.#tell(this.#losses, error, 'the connection of the subscriptions was lost')
      ended.resolve()
    })
    const release = onAbort(signal, () => ended.resolve())
    this.#connection = connection
    this.#endLive = (refused) => (refused === undefined ? ended.resolve() : ended.reject(refused))
    try {
      for (const entry of this.#listening) this.#subscribe(connection, entry)
      if (this.#listening.size > 0) await ended.promise
    } finally {
      release()
      this.#endLive = nothing
      this.#connection = undefined
      connection.destroy()
    }
  }

  #tell(limit: LogLimit, error: unknown, what: string): void {
    const suppressed = limit.take()
    if (suppressed === undefined) return
    const { log, settings } = this.#options
    log.warn({ err: toError(error), suppressed }, `${settings.component}: ${what}`)
  }

  #subscribe(connection: Connection, entry: Listening): void {
    const { channel, pattern, onLive } = entry.listener
    const { client } = connection
    const subscribed = pattern
      ? client.pSubscribe(channel, entry.onMessage)
      : client.subscribe(channel, entry.onMessage)
    void subscribed.then(
      () => {
        if (!this.#listening.has(entry)) {
          // It left while it was being subscribed, when there was nothing to unsubscribe yet.
          void this.#unsubscribe(connection, entry)
          return
        }
        onLive(entry.wasLive)
        entry.wasLive = true
      },
      // Refused (an access list, say), or cut off: either way it is tried again, and later each time.
      (error: unknown) => {
        if (this.#connection === connection) this.#endLive(error)
      },
    )
  }
}
