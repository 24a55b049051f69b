/** A subscription as users see it: a handler, a bounded queue in front of it, and word of every gap. */
import { Ring } from '../../core/ring.ts'
import { SluiceError, toError } from '../../core/errors.ts'
import { waitOrAbort } from '../../core/abort.ts'
import type { Logger } from '../../telemetry/log.ts'
import type { Backend } from './backend.ts'
import { invalid } from './commands/command.ts'

/** Messages that may have been missed. */
export type Gap =
  | { readonly reason: 'reconnected' }
  /** The handler was slower than the messages came. */
  | { readonly reason: 'overflow'; readonly dropped: number }

export interface SubscribeOptions {
  /** Is the channel a pattern such as `user:*`? @default false */
  readonly pattern?: boolean
  /** Messages that may wait for the handler. @default 1000 */
  readonly maxQueued?: number
  /** Which one goes when the queue is full. @default 'drop-oldest' */
  readonly overflow?: 'drop-oldest' | 'drop-newest'
  /** Messages handled at once; 1 keeps their order. @default 1 */
  readonly concurrency?: number
  /** Messages may have been missed: reload what you derive from them. */
  readonly onGap?: (gap: Gap) => void
}

export type MessageHandler = (
  message: string,
  context: { readonly channel: string; readonly signal: AbortSignal },
) => Promise<void> | void

export interface Subscription extends AsyncDisposable {
  readonly channel: string
  /** Resolves when it receives for the first time. Rejects with SLUICE_CLOSED when it is closed before. */
  readonly live: Promise<void>
  /** Receives nothing from now on, drops what waits, aborts the signal of running handlers and waits for them. */
  close(): Promise<void>
}

export interface SubscriptionParts {
  /** Name of the component. */
  readonly component: string
  readonly backend: Pick<Backend, 'listen'>
  readonly log: Logger
  /** Called for each message that was dropped. */
  readonly onDropped: () => void
  /** The name of the channel on the server, and back. */
  readonly prefix: string
}

interface Message {
  readonly text: string
  readonly channel: string
}

type Settled = SubscribeOptions & Required<Pick<SubscribeOptions, 'maxQueued' | 'concurrency' | 'overflow'>>

const defaults: Settled = Object.freeze({ maxQueued: 1_000, concurrency: 1, overflow: 'drop-oldest' })

export class ChannelSubscription implements Subscription {
  readonly channel: string
  readonly live: Promise<void>
  readonly #parts: SubscriptionParts
  readonly #options: Settled
  readonly #handler: MessageHandler
  readonly #queue = new Ring<Message>()
  readonly #running = new Set<Promise<void>>()
  readonly #controller = new AbortController()
  readonly #unlisten: () => Promise<void> | void
  readonly #onClose: (subscription: ChannelSubscription) => void
  #dropped = 0
  #closing: Promise<void> | undefined

  constructor(
    parts: SubscriptionParts,
    channel: string,
    handler: MessageHandler,
    options: SubscribeOptions,
    onClose: (subscription: ChannelSubscription) => void,
  ) {
    this.channel = channel
    this.#parts = parts
    this.#handler = handler
    this.#options = { ...defaults, ...options }
    this.#onClose = onClose
    atLeastOne(this.#options.maxQueued, 'maxQueued')
    atLeastOne(this.#options.concurrency, 'concurrency')
    const live = Promise.withResolvers<void>()
    this.live = waitOrAbort(live.promise, this.#controller.signal)
    // Most callers never look at it.
    this.live.catch(() => undefined)
    this.#unlisten = parts.backend.listen({
      channel: parts.prefix + channel,
      pattern: options.pattern ?? false,
      onMessage: (text, from) => this.#received({ text, channel: from.slice(parts.prefix.length) }),
      onLive: (gap) => {
        live.resolve()
        if (gap) this.#tellGap({ reason: 'reconnected' })
      },
    })
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #close(): Promise<void> {
    const left = this.#unlisten()
    this.#queue.filter(() => false)
    this.#controller.abort(
      new SluiceError('SLUICE_CLOSED', `${this.#parts.component}: the subscription was closed`),
    )
    this.#onClose(this)
    await Promise.all([left, ...this.#running])
  }

  #received(message: Message): void {
    if (this.#closing !== undefined) return
    if (this.#running.size < this.#options.concurrency) {
      this.#handle(message)
      return
    }
    if (this.#queue.length >= this.#options.maxQueued) {
      this.#dropped += 1
      this.#parts.onDropped()
      if (this.#options.overflow === 'drop-newest') return
      this.#queue.shift()
    }
    this.#queue.push(message)
  }

  #handle(message: Message): void {
    const running = this.#call(message).then(() => {
      this.#running.delete(running)
      this.#next()
    })
    this.#running.add(running)
  }

  #next(): void {
    if (this.#dropped > 0) {
      const dropped = this.#dropped
      this.#dropped = 0
      this.#tellGap({ reason: 'overflow', dropped })
    }
    const message = this.#queue.shift()
    if (message !== undefined) this.#handle(message)
  }

  async #call({ text, channel }: Message): Promise<void> {
    try {
      await this.#handler(text, { channel, signal: this.#controller.signal })
    } catch (error) {
      if (this.#controller.signal.aborted) return
      const { log, component } = this.#parts
      log.error({ err: toError(error) }, `${component}: a subscription handler failed`)
    }
  }

  #tellGap(gap: Gap): void {
    const { log, component } = this.#parts
    log.warn(gap, `${component}: a subscription may have missed messages`)
    try {
      this.#options.onGap?.(gap)
    } catch (error) {
      log.error({ err: toError(error) }, `${component}: an onGap handler failed`)
    }
  }
}

function atLeastOne(value: number, option: string): void {
  if (!Number.isSafeInteger(value) || value < 1) {
    throw invalid(`subscribe ${option}: expected a whole number of at least 1, got ${String(value)}`)
  }
}
