/**
 * Sends messages until the broker has confirmed them.
 *
 *     waiting ──channel open, not blocked, room──▶ sent ──confirm──▶ done
 *        ▲                                          │ channel or connection ended, and not because of it
 *        └──────────────────────────────────────────┘ sent again, with the same id, before all that was not sent yet
 *
 * - What is sent and not confirmed is bounded by count (the slots of the operations) and by bytes.
 * - While the broker blocks publishers nothing is sent: a message waits here, and its caller is told why at its deadline,
 *   rather than in the buffer of a socket where nobody can take it back.
 * - A message whose channel ended is sent again on the next one, so it may arrive twice; it never does not arrive and is
 *   called confirmed.
 */
import { deriveController, waitOrAbort } from '../../../core/abort.ts'
import type { Clock } from '../../../core/clock.ts'
import { SluiceError, isSluiceError } from '../../../core/errors.ts'
import type { Call } from '../../../telemetry/operate.ts'
import type { BrokerConnection } from '../connect/connection.ts'
import { closedError, driverError } from '../connect/errors.ts'
import { isDelayExchange } from '../topology/names.ts'
import type { Topology } from '../topology/topology.ts'
import { ConfirmChannel } from './confirm-channel.ts'
import { Line } from './line.ts'
import type { Frame } from './message.ts'

export interface PublisherOptions {
  readonly component: string
  readonly exchange: string
  readonly maxBytes: number
  readonly clock: Clock
  readonly topology: Topology
}

/** As far as a publish looks at its call. */
export type PublishCall = Pick<Call, 'signal' | 'remainingMs'>

/** Left of the deadline for saying why nothing was sent. */
const MARGIN_MS = 25
/** A message whose channels keep ending may be what ends them. */
const MAX_SENDS = 10
const REOPEN_BASE_MS = 50
const REOPEN_CAP_MS = 5_000

/** A message that the broker was given. */
interface Sent {
  readonly channel: ConfirmChannel
  readonly confirmed: Promise<void>
}

export class Publisher {
  readonly #options: PublisherOptions
  readonly #line = new Line(() => this.#sendable() !== undefined)
  #connection: BrokerConnection | undefined
  #channel: ConfirmChannel | undefined
  #blocked: { readonly reason: string; readonly since: number } | undefined
  #outstanding = 0
  #bytes = 0
  #closed = false
  readonly #idle = Promise.withResolvers<void>()

  constructor(options: PublisherOptions) {
    this.#options = options
  }

  /** Messages sent and not confirmed, and their bytes. */
  get outstanding(): number {
    return this.#outstanding
  }
  get outstandingBytes(): number {
    return this.#bytes
  }
  get waiting(): number {
    return this.#line.waiting
  }
  /** Why and for how long the broker takes nothing, or undefined. */
  get blocked(): { readonly reason: string; readonly forMs: number } | undefined {
    const blocked = this.#blocked
    if (blocked === undefined) return undefined
    return { reason: blocked.reason, forMs: Math.round(this.#options.clock.monotonic() - blocked.since) }
  }

  /** Sends on this connection from now on. Rejects when no channel can be opened or the exchange differs. */
  async attach(connection: BrokerConnection): Promise<void> {
    this.#connection = connection
    this.#blocked = undefined
    try {
      await this.#openChannel(connection)
    } catch (error) {
      if (this.#connection === connection) this.#connection = undefined
      throw driverError(this.#options.component, 'opening a channel', error)
    }
  }

  /** The connection is gone: what waits goes on waiting, for the next one. */
  detach(): void {
    this.#connection = undefined
    this.#channel = undefined
    this.#blocked = undefined
  }

  block(reason: string | undefined): void {
    this.#blocked = reason === undefined ? undefined : { reason, since: this.#options.clock.monotonic() }
    this.#line.move()
  }

  /** Resolves with its id once the broker has it. */
  async publish(frame: Frame, call: PublishCall): Promise<string> {
    for (let sends = 1; ; sends += 1) {
      if (this.#closed) throw closedError(this.#options.component)
      const ready = this.#line.waiting === 0 ? this.#sendable() : undefined
      const { channel, confirmed } =
        ready === undefined ? await this.#sendInTurn(frame, call, sends > 1) : this.#send(ready, frame)
      try {
        await confirmed
        return frame.id
      } catch (error) {
        if (isSluiceError(error)) throw error
        this.#again(channel, frame, call, sends)
      } finally {
        this.#bytes -= frame.body.length
        this.#outstanding -= 1
        if (this.#closed && this.#outstanding === 0) this.#idle.resolve()
        if (this.#line.waiting > 0) this.#line.move()
      }
    }
  }

  /** Waits for what is not confirmed, until the signal aborts; what waits to be sent rejects. */
  async close(signal: AbortSignal): Promise<void> {
    this.#closed = true
    this.#line.close(closedError(this.#options.component))
    const channel = this.#channel
    this.#channel = undefined
    if (channel !== undefined && this.#blocked === undefined)
      await waitOrAbort(this.#drained(channel), signal).catch(() => undefined)
  }

  async #drained(channel: ConfirmChannel): Promise<void> {
    if (this.#outstanding > 0) await this.#idle.promise
    await channel.close()
  }

  /** Throws when it must not be sent again. */
  #again(channel: ConfirmChannel, frame: Frame, call: PublishCall, sends: number): void {
    const { component, exchange } = this.#options
    const ended = channel.judge(frame)
    // An exchange of ours that somebody deleted is declared again with the next channel.
    const isOurs = frame.exchange === exchange || isDelayExchange(frame.exchange)
    if (ended.kind === 'culprit' && !(isOurs && ended.error.code === 'SLUICE_UNROUTABLE')) throw ended.error
    // What it is to wait in is declared by whoever planned the delay.
    if (ended.kind === 'culprit' && frame.delay !== undefined) throw ended.error
    if (this.#closed || sends >= MAX_SENDS || call.remainingMs <= 0) {
      throw new SluiceError(
        'SLUICE_OUTCOME_UNKNOWN',
        `${component}: the channel ended before the broker confirmed the message; it may or may not have arrived`,
        { component, hint: 'Publish it again with the same id; consumers know it by that.' },
      )
    }
  }

  #sendable(): ConfirmChannel | undefined {
    if (this.#closed || this.#blocked !== undefined || this.#bytes >= this.#options.maxBytes) return undefined
    const channel = this.#channel
    return channel?.isOpen === true ? channel : undefined
  }

  #send(channel: ConfirmChannel, frame: Frame): Sent {
    this.#bytes += frame.body.length
    this.#outstanding += 1
    return { channel, confirmed: channel.publish(frame) }
  }

  async #sendInTurn(frame: Frame, call: PublishCall, wasSent: boolean): Promise<Sent> {
    const { controller, release } = deriveController(call.signal)
    const limitMs = Math.max(1, call.remainingMs - MARGIN_MS)
    const timer = this.#options.clock.setTimer(() => controller.abort(this.#notSent(wasSent)), limitMs)
    try {
      return await this.#line.wait(() => this.#send(this.#sendable()!, frame), {
        wasSent,
        signal: controller.signal,
      })
    } finally {
      timer.cancel()
      release()
    }
  }

  #notSent(wasSent: boolean): SluiceError {
    const { component, maxBytes } = this.#options
    if (wasSent) {
      return new SluiceError(
        'SLUICE_OUTCOME_UNKNOWN',
        `${component}: the connection ended before the broker confirmed the message, and was not back in time`,
        { component, hint: 'Publish it again with the same id; consumers know it by that.' },
      )
    }
    const { blocked } = this
    if (blocked !== undefined) {
      return new SluiceError(
        'SLUICE_OVERLOADED',
        `${component}: the broker takes no messages (${blocked.reason}); it was not sent`,
        {
          component,
          retryable: true,
          details: { blocked: blocked.reason, forMs: blocked.forMs },
          hint: 'The broker is short of memory or disk; it goes on when that is over.',
        },
      )
    }
    const why = this.#bytes >= maxBytes ? `${maxBytes} bytes are unconfirmed` : 'there is no channel'
    return new SluiceError('SLUICE_UNAVAILABLE', `${component}: ${why}; it was not sent`, {
      component,
      retryable: true,
    })
  }

  async #openChannel(connection: BrokerConnection): Promise<void> {
    const { topology, component } = this.#options
    await topology.exchange()
    this.#channel = await ConfirmChannel.open(component, connection, () => {
      if (this.#connection === connection && !this.#closed) void this.#reopen(connection)
    })
    this.#line.move()
  }

  /** The broker closed the channel; the connection is as it was. Never rejects. */
  async #reopen(connection: BrokerConnection): Promise<void> {
    const { clock, topology } = this.#options
    this.#channel = undefined
    // What closed it may be that something is not there any more.
    topology.forget()
    for (let delayMs = REOPEN_BASE_MS; ; delayMs = Math.min(REOPEN_CAP_MS, delayMs * 2)) {
      if (this.#connection !== connection || this.#closed || !connection.isOpen) return
      try {
        await this.#openChannel(connection)
        return
      } catch {
        await clock.sleep(delayMs)
      }
    }
  }
}
