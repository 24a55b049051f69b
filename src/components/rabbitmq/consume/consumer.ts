/**
 * Deliveries of one channel: each is handed to the pool, and answered when its handler is done.
 *
 *     delivered ──pool──▶ handler ──done──────────────▶ ack
 *                            │ failed
 *                            ├─▶ confirmed in the delay queues ─▶ ack
 *                            └─▶ confirmed in the dead letters ─▶ ack
 *
 * Nothing is put back into the queue by a nack: it would come again at once, and so on. What cannot be sent on now is held
 * and tried again, more and more slowly; the prefetch bounds how much is held, and when the channel ends the broker hands
 * it out again.
 */
import { backoffMs } from '../../../core/backoff.ts'
import type { Clock } from '../../../core/clock.ts'
import { hasCode, SluiceError, toError } from '../../../core/errors.ts'
import { runWithCarrier } from '../../../telemetry/context.ts'
import { startSpan } from '../../../telemetry/trace.ts'
import type { Logger } from '../../../telemetry/log.ts'
import type { LogLimit } from '../../../telemetry/log-limit.ts'
import type { BrokerConnection } from '../connect/connection.ts'
import type { Delivered, DriverChannel } from '../connect/driver.ts'
import type { Frame } from '../publish/message.ts'
import { TICK_MS } from '../topology/delay-levels.ts'
import {
  isCounted,
  readDelivery,
  readMessage,
  type Delivery,
  type RabbitMessage,
  type Readable,
} from './message.ts'
import { deadFrame, retryFrame } from './onward.ts'
import type { SubscriptionSpec } from './spec.ts'

export type Ending = 'done' | 'retried' | 'dead' | 'cut-off'

/** It cannot be sent on, whenever: the broker moves it to the dead letters itself, without a reason of ours. */
const REFUSED = 'refused'
type Answer = Ending | typeof REFUSED | undefined

export interface ConsumerParts {
  readonly component: string
  readonly spec: SubscriptionSpec
  readonly clock: Clock
  readonly random: () => number
  readonly log: Logger
  readonly failures: LogLimit
  /** Resolves when the broker has confirmed it. */
  readonly sendOn: (what: 'retry' | 'deadLetter', frame: Frame) => PromiseLike<unknown>
  readonly ended: (how: Ending) => void
}

interface Failure {
  readonly error: unknown
  /** No other attempt would end otherwise. */
  readonly isFinal: boolean
}

const HOLD_BASE_MS = 250
const HOLD_CAP_MS = 30_000
const POOL_FULL_MS = 100

export class Consumer {
  readonly #parts: ConsumerParts
  readonly #connection: BrokerConnection
  readonly #channel: DriverChannel
  readonly #controller = new AbortController()
  readonly #signal = this.#controller.signal
  #running = 0
  #idle: (() => void) | undefined

  constructor(parts: ConsumerParts, connection: BrokerConnection, channel: DriverChannel) {
    this.#parts = parts
    this.#connection = connection
    this.#channel = channel
  }

  /** Tells handlers to stop: there is no more time, or the broker would not hear of their end. */
  abort(reason: Error): void {
    this.#controller.abort(reason)
  }

  /** Deliveries that are not answered. */
  get running(): number {
    return this.#running
  }

  /** Never throws: the driver calls it from the event loop. */
  readonly deliver = (delivered: Delivered): void => {
    this.#running += 1
    void this.#answer(delivered).then(this.#answered)
  }

  /** Resolves when every delivery so far is answered. */
  drained(): Promise<void> {
    if (this.#running === 0) return Promise.resolve()
    const { promise, resolve } = Promise.withResolvers<void>()
    const before = this.#idle
    this.#idle = () => {
      before?.()
      resolve()
    }
    return promise
  }

  readonly #answered = (): void => {
    this.#running -= 1
    if (this.#running === 0) this.#idle?.()
  }

  /** Never rejects. */
  async #answer(delivered: Delivered): Promise<void> {
    const { ended, log, spec } = this.#parts
    try {
      const delivery = readDelivery(delivered)
      const how = delivered.redelivered ? await this.#again(delivery) : await this.#first(delivery)
      if (how === undefined || !this.#channel.active) {
        ended('cut-off')
        return
      }
      this.#connection.corker.hold()
      const { deliveryTag } = delivered
      if (how === REFUSED) this.#channel.basicNack({ deliveryTag, requeue: false })
      else this.#channel.basicAck({ deliveryTag })
      ended(how === REFUSED ? 'dead' : how)
    } catch (error) {
      // The channel ended between the look and the ack, or a defect: the broker hands the message out again.
      ended('cut-off')
      if (this.#channel.active)
        log.error({ err: toError(error), queue: spec.queue }, 'a delivery was not answered')
    }
  }

  /** One that was cut off before: counted, so that a message that ends its process each time ends as well. */
  async #again(delivery: Delivery): Promise<Answer> {
    const { spec } = this.#parts
    const counted = isCounted(delivery.delivered)
    const redeliveries = counted ? delivery.redeliveries : delivery.redeliveries + 1
    if (redeliveries > spec.redeliveries) {
      const error = new SluiceError(
        'SLUICE_OUTCOME_UNKNOWN',
        `delivered ${redeliveries + 1} times without an answer: its handler may end the process`,
      )
      return this.#die(delivery, error, delivery.failedAttempts)
    }
    if (counted) return this.#first(delivery)
    // The queue keeps no count, so the message must carry it: it goes to the end of the queue, and is handled from there.
    const counts = { attempts: delivery.failedAttempts, redeliveries }
    return this.#send('retry', 'retried', retryFrame(delivery, spec.queue, 0, counts))
  }

  async #first(delivery: Delivery): Promise<Answer> {
    const { spec, random } = this.#parts
    const failure = await this.#attempt(delivery)
    if (failure === undefined) return 'done'
    // Told to stop: not its fault.
    if (this.#signal.aborted) return undefined
    const attempt = delivery.failedAttempts + 1
    const { error, isFinal } = failure
    if (attempt >= spec.attempts || isFinal) return this.#die(delivery, error, attempt)
    const delayMs = Math.max(TICK_MS, backoffMs(attempt, random(), spec.backoff))
    this.#log('warn', delivery, error, `a message failed, and is tried again in ${Math.round(delayMs)} ms`)
    const counts = { attempts: attempt, redeliveries: 0 }
    return this.#send('retry', 'retried', retryFrame(delivery, spec.queue, delayMs, counts))
  }

  async #die(delivery: Delivery, error: unknown, attempts: number): Promise<Answer> {
    const { spec, clock } = this.#parts
    this.#log('error', delivery, error, 'a message is a dead letter now')
    const frame = deadFrame(delivery, spec.queue, error, attempts, new Date(clock.now()))
    return this.#send('deadLetter', 'dead', frame)
  }

  /** Why it failed, or undefined. Never rejects. */
  async #attempt(delivery: Delivery): Promise<Failure | undefined> {
    const { spec, clock } = this.#parts
    let isRead = false
    try {
      let message = readMessage(delivery, spec)
      if (message instanceof Promise) message = await message
      isRead = true
      for (;;) {
        try {
          await this.#submit(message)
          return undefined
        } catch (error) {
          if (!hasCode(error, 'SLUICE_POOL_FULL')) throw error
          await clock.sleep(POOL_FULL_MS, { signal: this.#signal })
        }
      }
    } catch (error) {
      // What cannot be read now cannot be read later.
      return { error, isFinal: !isRead || hasCode(error, 'SLUICE_INVALID_DATA') }
    }
  }

  #submit(message: Readable): PromiseLike<unknown> {
    const { spec } = this.#parts
    const { handler } = spec
    const { traceparent } = message
    return spec.pool.submit(
      (call) => {
        message.call = call
        const run = (): unknown => handler(message as unknown as RabbitMessage)
        return traceparent === undefined
          ? run()
          : runWithCarrier({ traceparent }, () => traced(spec.queue, run))
      },
      { signal: this.#signal, timeout: spec.timeoutMs },
    )
  }

  /** `sent` when it is where it goes to; undefined when the channel ended or there is no more time. */
  async #send(what: 'retry' | 'deadLetter', sent: Ending, frame: Frame): Promise<Answer> {
    const { clock, log, spec, sendOn, failures } = this.#parts
    for (let delayMs = HOLD_BASE_MS; this.#channel.active && !this.#signal.aborted;) {
      try {
        await sendOn(what, frame)
        return sent
      } catch (error) {
        if (hasCode(error, 'SLUICE_TOO_LARGE')) return REFUSED
        const suppressed = failures.take()
        if (suppressed !== undefined)
          log.warn(
            { err: toError(error), queue: spec.queue, suppressed },
            `a message is held, as its ${what} failed`,
          )
      }
      await clock.sleep(delayMs, { signal: this.#signal }).catch(() => undefined)
      delayMs = Math.min(HOLD_CAP_MS, delayMs * 2)
    }
    return undefined
  }

  #log(level: 'warn' | 'error', { raw, failedAttempts }: Delivery, error: unknown, text: string): void {
    const { log, failures, spec } = this.#parts
    const suppressed = failures.take()
    if (suppressed === undefined) return
    const facts = {
      queue: spec.queue,
      topic: raw.topic,
      messageId: raw.messageId,
      attempt: failedAttempts + 1,
      suppressed,
    }
    log[level]({ err: toError(error), ...facts }, text)
  }
}

async function traced(queue: string, run: () => unknown): Promise<unknown> {
  const span = startSpan(`process ${queue}`, {
    kind: 'server',
    attributes: {
      'messaging.system': 'rabbitmq',
      'messaging.operation.type': 'process',
      'messaging.destination.name': queue,
    },
  })
  if (span === undefined) return run()
  try {
    const answer = await span.run(run)
    span.end()
    return answer
  } catch (error) {
    span.end(error)
    throw error
  }
}
