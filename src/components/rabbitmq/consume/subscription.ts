/**
 * A queue, the topics that lead to it, and who reads it. It lives as long as the app says, over any number of
 * connections:
 *
 *     waiting ──connection──▶ attaching ──declared, consuming──▶ consuming
 *        ▲                        │ refused                         │ channel closed, cancelled, connection lost
 *        └────────back-off────────┴─────────────────────────────────┘
 *
 * What the broker refuses (a queue of another kind, a missing exchange, no rights) is said in its words, kept in the
 * status, and tried again: it heals when somebody puts it right.
 */
import { onAbort, waitOrAbort } from '../../../core/abort.ts'
import type { Clock, Timer } from '../../../core/clock.ts'
import { backoffMs } from '../../../core/backoff.ts'
import { SluiceError, toError } from '../../../core/errors.ts'
import type { Logger } from '../../../telemetry/log.ts'
import { LogLimit } from '../../../telemetry/log-limit.ts'
import type { BrokerConnection } from '../connect/connection.ts'
import { keepBytes } from '../connect/driver.ts'
import { driverError } from '../connect/errors.ts'
import type { Frame } from '../publish/message.ts'
import { declareSubscription } from '../topology/subscription.ts'
import type { Topology } from '../topology/topology.ts'
import { Consumer, type Ending } from './consumer.ts'
import type { SubscriptionSpec } from './spec.ts'

export interface Subscription extends AsyncDisposable {
  readonly queue: string
  readonly state: SubscriptionState
  /** Why it is not consuming. */
  readonly error: Error | undefined
  /** Resolves when it consumes for the first time; rejects with SLUICE_CLOSED when it is closed before. */
  readonly live: Promise<void>
  /** Takes nothing more, waits for the handlers that run, then leaves. The queue stays, and goes on collecting. */
  close(): Promise<void>
}

export type SubscriptionState = 'waiting' | 'attaching' | 'consuming' | 'closed'

export interface SubscriptionParts {
  readonly component: string
  /** Of the component. */
  readonly exchange: string
  readonly topology: Topology
  readonly clock: Clock
  readonly random: () => number
  readonly log: Logger
  readonly sendOn: (what: 'retry' | 'deadLetter', frame: Frame) => PromiseLike<unknown>
  readonly ended: (queue: string, how: Ending) => void
  readonly onClosed: (subscription: QueueSubscription) => void
}

const BACKOFF = { baseMs: 500, capMs: 30_000 } as const
const LOG_INTERVAL_MS = 60_000
/** How long handlers may go on when only this subscription is closed; an app that stops has a limit of its own. */
const CLOSE_LIMIT_MS = 30_000
/** For the broker to say that it sends nothing more: less than a shutdown gives to the end of all intake. */
const LEAVE_LIMIT_MS = 1_000
/** From telling handlers to stop until nobody waits for them. */
const ABORT_GRACE_MS = 250

export class QueueSubscription implements Subscription {
  readonly spec: SubscriptionSpec
  readonly live: Promise<void>
  readonly #parts: SubscriptionParts
  readonly #stopped = new AbortController()
  readonly #live = Promise.withResolvers<void>()
  readonly #complaints: LogLimit
  readonly #failures: LogLimit
  readonly #counts: Record<Ending, number> = { done: 0, retried: 0, dead: 0, 'cut-off': 0 }
  /** Those whose deliveries are not all answered, the current one among them. */
  readonly #consumers = new Set<Consumer>()
  #connection: BrokerConnection | undefined
  #loop: Promise<void> = Promise.resolve()
  #state: SubscriptionState = 'waiting'
  #error: Error | undefined
  /** Takes nothing more from the channel of now. */
  #leave: (() => Promise<void>) | undefined
  #closing: Promise<void> | undefined
  #intake: Promise<void> | undefined

  constructor(parts: SubscriptionParts, spec: SubscriptionSpec) {
    this.#parts = parts
    this.spec = spec
    this.#complaints = new LogLimit(parts.clock, LOG_INTERVAL_MS)
    this.#failures = new LogLimit(parts.clock, LOG_INTERVAL_MS)
    this.live = this.#live.promise
    this.live.catch(() => undefined)
  }

  get queue(): string {
    return this.spec.queue
  }
  get state(): SubscriptionState {
    return this.#state
  }
  get error(): Error | undefined {
    return this.#error
  }

  /** For the status. */
  facts(): Readonly<Record<string, unknown>> {
    let running = 0
    for (const consumer of this.#consumers) running += consumer.running
    const { queue, topics, prefetch } = this.spec
    return {
      queue,
      topics: [...topics],
      state: this.#state,
      prefetch,
      running,
      ...this.#counts,
      error: this.#error?.message ?? null,
    }
  }

  /** Consumes over this connection from now on. */
  attach(connection: BrokerConnection): void {
    // One that is made while the connection is being prepared is told of it twice.
    if (this.#stopped.signal.aborted || this.#connection === connection) return
    this.#connection = connection
    this.#loop = this.#run(connection)
  }

  /** Takes no more deliveries; what runs goes on. */
  stopIntake(): Promise<void> {
    this.#intake ??= this.#stopIntake()
    return this.#intake
  }

  /** Resolves when every handler has ended and was answered. Tells them to stop when the signal aborts. */
  async drain(signal: AbortSignal): Promise<void> {
    await waitOrAbort(this.stopIntake(), signal).catch(() => undefined)
    const late = Promise.withResolvers<void>()
    let timer: Timer | undefined
    const release = onAbort(signal, (reason) => {
      this.#abort(toError(reason))
      // One that is being sent on is not waited for longer: the broker hands it out again.
      timer = this.#parts.clock.setTimer(late.resolve, ABORT_GRACE_MS)
    })
    try {
      await Promise.race([
        Promise.all([...this.#consumers].map((consumer) => consumer.drained())),
        late.promise,
      ])
    } finally {
      timer?.cancel()
      release()
    }
  }

  close(): Promise<void> {
    return this.closeWithin(AbortSignal.timeout(CLOSE_LIMIT_MS))
  }

  closeWithin(signal: AbortSignal): Promise<void> {
    this.#closing ??= this.#close(signal)
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #close(signal: AbortSignal): Promise<void> {
    await this.drain(signal)
    await waitOrAbort(this.#loop, signal).catch(() => undefined)
    this.#parts.onClosed(this)
  }

  async #stopIntake(): Promise<void> {
    const reason = new SluiceError(
      'SLUICE_CLOSED',
      `${this.#parts.component}: the subscription "${this.queue}" was closed`,
    )
    this.#stopped.abort(reason)
    this.#state = 'closed'
    this.#live.reject(reason)
    await this.#leave?.()
  }

  #abort(reason: Error): void {
    for (const consumer of this.#consumers) consumer.abort(reason)
  }

  /** Until the connection or the subscription ends. Never rejects. */
  async #run(connection: BrokerConnection): Promise<void> {
    const { clock, random } = this.#parts
    const { signal } = this.#stopped
    const isOver = (): boolean => signal.aborted || this.#connection !== connection || !connection.isOpen
    for (let failures = 0; !isOver();) {
      try {
        this.#state = 'attaching'
        await this.#consume(connection, () => (failures = 0))
        failures += 1
      } catch (error) {
        failures += 1
        if (!isOver()) this.#complain(toError(error))
      }
      if (signal.aborted) return
      if (this.#connection === connection) this.#state = 'waiting'
      if (isOver()) return
      await clock.sleep(backoffMs(failures, random(), BACKOFF), { signal }).catch(() => undefined)
    }
  }

  /** Declares and consumes; resolves when the channel is over. Rejects when the broker refuses. */
  async #consume(connection: BrokerConnection, onLive: () => void): Promise<void> {
    const { component, topology, exchange } = this.#parts
    const { spec } = this
    await declareSubscription(topology, spec, exchange)
    let complaint: unknown
    const over = Promise.withResolvers<void>()
    try {
      const channel = await connection.acquire()
      channel.on('error', (error: unknown) => (complaint ??= error))
      channel.once('close', () => over.resolve())
      channel.on('basic.cancel', (_tag, error: unknown) => {
        complaint ??= error
        over.resolve()
      })
      keepBytes(channel)
      const consumer = new Consumer(
        { ...this.#parts, spec, failures: this.#failures, ended: this.#ended },
        connection,
        channel,
      )
      this.#consumers.add(consumer)
      try {
        if (this.#stopped.signal.aborted) return
        await channel.basicQos({ prefetchCount: spec.prefetch })
        const { consumerTag } = await channel.basicConsume({ queue: spec.queue }, consumer.deliver)
        this.#leave = async () => {
          // What comes before the broker's answer is handled too; from a frozen one nothing comes.
          const answer = channel.active ? channel.basicCancel(consumerTag).catch(() => undefined) : undefined
          if (answer !== undefined) await this.#answeredInTime(answer)
          over.resolve()
        }
        this.#error = undefined
        if (!this.#stopped.signal.aborted) this.#state = 'consuming'
        this.#live.resolve()
        onLive()
        if (this.#stopped.signal.aborted) await this.#leave()
        await over.promise
        if (!channel.active)
          consumer.abort(
            new SluiceError('SLUICE_UNAVAILABLE', `${component}: the channel of "${spec.queue}" ended`),
          )
      } finally {
        this.#leave = undefined
        // Handlers that still run may answer on this channel, and hold up nothing: the next one is opened meanwhile.
        const gone = consumer.drained().then(async () => {
          await channel.close()
          this.#consumers.delete(consumer)
        })
        if (this.#stopped.signal.aborted) await gone
      }
    } catch (error) {
      throw driverError(component, `consuming "${spec.queue}"`, complaint ?? error)
    }
    if (complaint !== undefined) throw driverError(component, `consuming "${spec.queue}"`, complaint)
  }

  async #answeredInTime(answer: Promise<unknown>): Promise<void> {
    const late = new AbortController()
    const timer = this.#parts.clock.setTimer(() => late.abort(), LEAVE_LIMIT_MS, { keepAlive: false })
    await waitOrAbort(answer, late.signal).catch(() => undefined)
    timer.cancel()
  }

  readonly #ended = (how: Ending): void => {
    this.#counts[how] += 1
    this.#parts.ended(this.queue, how)
  }

  #complain(error: Error): void {
    this.#error = error
    const suppressed = this.#complaints.take()
    if (suppressed === undefined) return
    this.#parts.log.warn(
      { err: error, queue: this.queue, suppressed },
      'a subscription does not consume, and is tried again',
    )
  }
}
