/**
 * A channel on which the broker confirms each message.
 *
 * The broker confirms a message that no queue wants as well, right after it has returned it; and the driver tells of the
 * return a turn of the event loop later than of the confirm. So a confirm of a mandatory message counts only a turn later,
 * when its return would have been told.
 *
 * When the broker closes the channel because of one message, the driver names the oldest that is not confirmed, and all
 * others reject with `CH_CLOSE`. Which one it was is read from the broker's words.
 */
import { SluiceError } from '../../../core/errors.ts'
import type { BrokerConnection } from '../connect/connection.ts'
import type { DriverChannel, Returned } from '../connect/driver.ts'
import { brokerText, driverCode, driverError } from '../connect/errors.ts'
import type { Frame } from './message.ts'

/** What became of a message whose channel ended before it was confirmed. */
export type Ended =
  | { readonly kind: 'culprit'; readonly error: SluiceError }
  /** The channel ended for another reason: whether it arrived is not known, and it may be sent again. */
  | { readonly kind: 'bystander' }

export class ConfirmChannel {
  readonly #component: string
  readonly #connection: BrokerConnection
  readonly #channel: DriverChannel
  /** By id and address; several where messages have neither of their own. */
  readonly #returned = new Map<string, Returned[]>()
  /** Why the broker closed it. */
  #cause: unknown

  private constructor(component: string, connection: BrokerConnection, channel: DriverChannel) {
    this.#component = component
    this.#connection = connection
    this.#channel = channel
    channel.on('basic.return', (message) => {
      const key = keyOf(message)
      const others = this.#returned.get(key)
      if (others === undefined) this.#returned.set(key, [message])
      else others.push(message)
    })
    channel.on('error', (error: unknown) => (this.#cause ??= error))
  }

  static async open(
    component: string,
    connection: BrokerConnection,
    onClose: () => void,
  ): Promise<ConfirmChannel> {
    const channel = await connection.acquire()
    const opened = new ConfirmChannel(component, connection, channel)
    try {
      await channel.confirmSelect()
    } catch (error) {
      await channel.close()
      throw error
    }
    channel.once('close', onClose)
    return opened
  }

  get isOpen(): boolean {
    return this.#channel.active
  }

  /** Resolves once the broker has it. Rejects with SLUICE_UNROUTABLE, SLUICE_OVERLOADED, or the driver's error. */
  publish(frame: Frame): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.#connection.corker.hold()
    this.#channel.basicPublish(frame.envelope, frame.body).then(
      () => {
        if (frame.envelope.mandatory === true) setImmediate(this.#settle, frame, resolve, reject)
        else resolve()
      },
      (error: unknown) => {
        const code = driverCode(error)
        if (code === undefined || (code === 'CODEC' && (error as Error).name === 'AMQPChannelError')) {
          // The driver could not write it, which costs the channel: the others find it closed.
          reject(unwritable(this.#component, error))
          return
        }
        if (code !== 'NACK' && code !== 'CH_CLOSE') this.#cause ??= error
        reject(code === 'NACK' ? this.#refused() : error)
      },
    )
    return promise
  }

  /** For what `publish` rejected with because the channel or the connection ended. */
  judge(frame: Frame): Ended {
    const cause = this.#cause
    const code = driverCode(cause)
    const text = cause === undefined ? '' : brokerText(cause)
    const { exchange } = frame
    if (code === 'NOT_FOUND' && text.startsWith(`no exchange '${exchange}' `)) {
      const error = new SluiceError('SLUICE_UNROUTABLE', `${this.#component}: ${text}`, {
        component: this.#component,
        cause,
        details: { reply: code, exchange },
        hint: 'Create the exchange, or publish to another.',
      })
      return { kind: 'culprit', error }
    }
    if (code === 'ACCESS_REFUSED' && text.includes(`exchange '${exchange}'`))
      return { kind: 'culprit', error: driverError(this.#component, 'publishing', cause) }
    const sizes = /message size (\d+) (?:is )?larger than (?:configured )?max size (\d+)/.exec(text)
    if (code === 'PRECONDITION_FAILED' && sizes !== null && frame.body.length > Number(sizes[2])) {
      const error = new SluiceError('SLUICE_TOO_LARGE', `${this.#component}: ${text}`, {
        component: this.#component,
        cause,
        hint: "Raise the broker's max_message_size, or publish less.",
      })
      return { kind: 'culprit', error }
    }
    return { kind: 'bystander' }
  }

  /** Waits for what is not confirmed yet. */
  close(): Promise<void> {
    return this.#channel.close()
  }

  readonly #settle = (frame: Frame, resolve: () => void, reject: (error: unknown) => void): void => {
    if (this.#returned.size === 0) return resolve()
    const key = keyOf(frame.envelope)
    const returned = this.#returned.get(key)
    const message = returned?.shift()
    if (message === undefined) return resolve()
    if (returned?.length === 0) this.#returned.delete(key)
    const { replyText, exchange, routingKey } = message
    reject(
      new SluiceError(
        'SLUICE_UNROUTABLE',
        `${this.#component}: no queue of the exchange "${exchange}" takes "${routingKey}" (${replyText})`,
        {
          component: this.#component,
          details: { reply: replyText, exchange, topic: routingKey },
          hint: 'Start a subscription first, correct the topic, or publish with mandatory: false.',
        },
      ),
    )
  }

  #refused(): SluiceError {
    const text = `${this.#component}: the broker refused the message (nack): a queue is full or cannot store it`
    return new SluiceError('SLUICE_OVERLOADED', text, {
      component: this.#component,
      retryable: true,
      details: { reply: 'NACK' },
      hint: 'Look at the length and the limits of the queues that it goes to.',
    })
  }
}

function unwritable(component: string, error: unknown): SluiceError {
  return new SluiceError('SLUICE_TOO_LARGE', `${component}: the headers of the message cannot be sent`, {
    component,
    cause: error,
    hint: 'Together they must fit into one frame, 128 KiB as a rule.',
  })
}

function keyOf(message: { messageId?: string; exchange?: string; routingKey?: string }): string {
  return `${message.messageId ?? ''}\n${message.exchange ?? ''}\n${message.routingKey ?? ''}`
}
