/**
 * What must be on the broker, declared when it is first needed on a connection, and again on the next one: a broker that
 * lost its data, or another node, gets it all back.
 *
 * What was declared is known by name, so that a message pays nothing for it; `forget` is called when the broker says that
 * something is not there after all.
 */
import { SluiceError } from '../../../core/errors.ts'
import type { BrokerConnection } from '../connect/connection.ts'
import type { DriverChannel } from '../connect/driver.ts'
import { brokerText, driverCode } from '../connect/errors.ts'
import { delayHeader, delayName, DUE_EXCHANGE, HEADER, toExchange, UNROUTABLE } from './names.ts'
import { levelMs } from './delay-levels.ts'

type Arguments = Readonly<Record<string, string | number | boolean>>

/** A queue that is on several nodes where there are several, and does not give a message up before its next queue has it. */
export const QUORUM: Arguments = Object.freeze({ 'x-queue-type': 'quorum' })
export const SAFE_DEAD_LETTERS: Arguments = Object.freeze({
  'x-dead-letter-strategy': 'at-least-once',
  // Asked for by the strategy; there is no limit that it would apply to.
  'x-overflow': 'reject-publish',
})

export interface TopologyOptions {
  readonly component: string
  /** The topic exchange of the component. */
  readonly exchange: string
  /** Told once a connection when the exchange is another's, so that nothing can be delayed through it. */
  readonly onForeignExchange: (why: string) => void
}

export class Topology {
  readonly #options: TopologyOptions
  readonly #done = new Map<string, Promise<void>>()
  readonly #settled = new Set<string>()
  #connection: BrokerConnection | undefined
  #foreign: string | undefined
  #hasQuorum = true

  constructor(options: TopologyOptions) {
    this.#options = options
  }

  /** Why nothing can be delayed, or undefined. */
  get undelayable(): string | undefined {
    return this.#foreign
  }

  /** False once the broker refused a quorum queue. */
  get hasQuorum(): boolean {
    return this.#hasQuorum
  }

  /** Declares on this connection from now on. */
  use(connection: BrokerConnection): void {
    this.#connection = connection
    this.forget()
  }

  forget(): void {
    this.#done.clear()
    this.#settled.clear()
  }

  /** The exchange of the component. */
  exchange(): Promise<void> {
    return this.#once('exchange', async () => {
      const { exchange } = this.#options
      const declare = (args: Arguments): Promise<void> =>
        this.declare(`declaring the exchange "${exchange}"`, (channel) =>
          channel.exchangeDeclare({ exchange, type: 'topic', durable: true, arguments: args }),
        )
      this.#foreign = undefined
      try {
        await declare({ 'alternate-exchange': UNROUTABLE })
      } catch (error) {
        // Somebody else's, with other arguments: it serves all the same, but for what needs ours.
        if (driverCode((error as SluiceError).cause) !== 'PRECONDITION_FAILED') throw error
        if (!brokerText((error as SluiceError).cause).includes('alternate-exchange')) throw error
        await declare({})
        this.#foreign = brokerText((error as SluiceError).cause)
        this.#options.onForeignExchange(this.#foreign)
      }
    })
  }

  /** Where messages go that are due, and those of them that nobody wants. */
  due(): Promise<void> {
    return this.#once('due', async () => {
      await this.exchange()
      const { exchange } = this.#options
      await this.queue(UNROUTABLE, QUORUM)
      await this.declare('declaring the exchanges of delayed messages', async (channel) => {
        await channel.exchangeDeclare({ exchange: UNROUTABLE, type: 'headers', durable: true })
        // Only what was delayed: any other message stays unroutable, and its publisher is told.
        const isDelayed = { 'x-match': 'all', [HEADER.delayed]: '1' }
        await channel.queueBind({
          queue: UNROUTABLE,
          exchange: UNROUTABLE,
          routingKey: '',
          arguments: isDelayed,
        })
        await channel.exchangeDeclare({
          exchange: DUE_EXCHANGE,
          type: 'headers',
          durable: true,
          arguments: { 'alternate-exchange': UNROUTABLE },
        })
        await channel.exchangeBind({
          source: DUE_EXCHANGE,
          destination: exchange,
          routingKey: '',
          arguments: { 'x-match': 'all', [HEADER.delayTo]: toExchange(exchange) },
        })
      })
    })
  }

  /** The delays up to a level. */
  async delays(level: number): Promise<void> {
    await this.due()
    for (let each = 0; each <= level; each++) await this.#level(each)
  }

  /** Are they known to be there? Then a message need not wait a turn. */
  hasDelays(level: number): boolean {
    return this.#settled.has(`delay ${level}`)
  }

  /** Declares a durable queue; one of another kind where the broker has no quorum queues. */
  async queue(queue: string, args: Arguments): Promise<void> {
    const what = `declaring the queue "${queue}"`
    const wanted = this.#hasQuorum ? args : withoutQuorum(args)
    try {
      await this.declare(what, (channel) => channel.queueDeclare({ queue, durable: true, arguments: wanted }))
    } catch (error) {
      const { cause } = error as SluiceError
      const isRefused =
        driverCode(cause) === 'PRECONDITION_FAILED' && /invalid (arg|type)/.test(brokerText(cause))
      if (!isRefused || wanted['x-queue-type'] !== 'quorum') throw error
      this.#hasQuorum = false
      await this.queue(queue, args)
    }
  }

  /** Runs declarations on a channel of their own. Rejects with SLUICE_CONFLICT and the broker's words where something differs. */
  async declare<T>(what: string, fn: (channel: DriverChannel) => Promise<T>): Promise<void> {
    const connection = this.#connection
    if (connection === undefined) {
      const { component } = this.#options
      throw new SluiceError('SLUICE_UNAVAILABLE', `${component}: ${what}: there is no connection`, {
        retryable: true,
      })
    }
    await connection.withChannel(what, fn)
  }

  #level(level: number): Promise<void> {
    const name = delayName(level)
    return this.#once(`delay ${level}`, async () => {
      const next = level === 0 ? DUE_EXCHANGE : delayName(level - 1)
      await this.queue(name, {
        ...QUORUM,
        ...SAFE_DEAD_LETTERS,
        'x-message-ttl': levelMs(level),
        'x-dead-letter-exchange': next,
      })
      await this.declare(`declaring the exchange "${name}"`, async (channel) => {
        await channel.exchangeDeclare({ exchange: name, type: 'headers', durable: true })
        const bit = (value: string): Arguments => ({ 'x-match': 'all', [delayHeader(level)]: value })
        await channel.queueBind({ queue: name, exchange: name, routingKey: '', arguments: bit('1') })
        await channel.exchangeBind({ source: name, destination: next, routingKey: '', arguments: bit('0') })
      })
    })
  }

  /** One declaration at a time for all who ask; one that failed is made again by the next. */
  #once(key: string, fn: () => Promise<void>): Promise<void> {
    const known = this.#done.get(key)
    if (known !== undefined) return known
    const doing = fn()
    this.#done.set(key, doing)
    doing.then(
      () => void (this.#done.get(key) === doing && this.#settled.add(key)),
      () => void (this.#done.get(key) === doing && this.#done.delete(key)),
    )
    return doing
  }
}

function withoutQuorum(args: Arguments): Arguments {
  const {
    'x-queue-type': _type,
    'x-dead-letter-strategy': _strategy,
    'x-overflow': _overflow,
    'x-delivery-limit': _limit,
    ...rest
  } = args
  return rest
}
