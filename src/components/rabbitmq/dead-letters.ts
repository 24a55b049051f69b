/**
 * Messages that were given up on, in a queue of their own: looked at, sent back, thrown away.
 *
 * A queue can only be read from its head, and what is read comes back when the channel closes. So each of these reads one
 * after another, keeps hold of what it leaves, and gives that back at the end. Two at once on one queue see parts of it.
 */
import type { AsyncResult } from '../../core/async-result.ts'
import type { Clock } from '../../core/clock.ts'
import { invalidArgument } from '../../core/errors.ts'
import type { OperationSpec, Operations } from '../../telemetry/operate.ts'
import type { BrokerConnection } from './connect/connection.ts'
import { keepBytes, type DriverChannel } from './connect/driver.ts'
import { deathOf } from './consume/death.ts'
import { readDelivery, type Delivery } from './consume/message.ts'
import { backFrame } from './consume/onward.ts'
import { isReserved } from './publish/message.ts'
import type { Send } from './publish/sender.ts'
import { HEADER } from './topology/names.ts'

export interface DeadLetter {
  /** The id of the message; empty where its sender gave none. */
  readonly id: string
  /** The routing key and the exchange that it was published with. */
  readonly topic: string
  readonly exchange: string
  /** The text of the last error, or the broker's reason (`expired`, `maxlen`, `delivery_limit`, `rejected`). */
  readonly reason: string
  /** The code or name of that error. */
  readonly code: string | undefined
  readonly attempts: number
  /** When it was given up on. */
  readonly at: Date | undefined
  /** As it came. */
  readonly bytes: Buffer
  readonly contentType: string | undefined
  /** Of its sender. */
  readonly headers: Readonly<Record<string, unknown>>
}

export interface DeadLetterChoice {
  /** Only these. @default all */
  readonly ids?: readonly string[]
  /** How many of them, 1 to 10,000. @default 1000 */
  readonly limit?: number
}

export interface DeadLetters {
  /** How many there are. */
  count(): AsyncResult<number>
  /** The oldest, up to `limit` (1 to 1,000). They stay. @default limit 100 */
  list(options?: { readonly limit?: number }): AsyncResult<readonly DeadLetter[]>
  /** Sends messages back to the queue, with their attempts counted anew. Resolves with how many. One may go twice if the connection ends. */
  redrive(choice?: DeadLetterChoice): AsyncResult<number>
  /** Throws messages away for good. Resolves with how many. */
  drop(choice?: DeadLetterChoice): AsyncResult<number>
}

export interface DeadLetterParts {
  readonly operations: Operations
  readonly clock: Clock
  readonly connection: () => BrokerConnection
  readonly send: Send
  /** Where dead letters lie. */
  readonly queue: string
  /** Where they go back to; undefined for the exchange and topic that they came from. */
  readonly home: string | undefined
}

const COUNT: OperationSpec = { name: 'deadLetters.count', idempotent: true }
const LIST: OperationSpec = { name: 'deadLetters.list', idempotent: true }
const REDRIVE: OperationSpec = { name: 'deadLetters.redrive', idempotent: false }
const DROP: OperationSpec = { name: 'deadLetters.drop', idempotent: false }
/** Looking through many takes longer than one publish. */
const LIMITS = { timeout: '60s' } as const
/** For the broker to give back what was looked at. */
const BACK_LIMIT_MS = 1_000
const BACK_LOOK_MS = 5
const MAX_LISTED = 1_000
const MAX_MOVED = 10_000

export function createDeadLetters(parts: DeadLetterParts): DeadLetters {
  const { operations, queue, home, send, clock } = parts
  const onChannel = <T>(what: string, fn: (channel: DriverChannel) => Promise<T>): Promise<T> =>
    parts.connection().withChannel(`${what} the dead letters in "${queue}"`, (channel) => {
      keepBytes(channel)
      return fn(channel)
    })
  const countOn = async (channel: DriverChannel): Promise<number> =>
    (await channel.queueDeclare({ queue, passive: true })).messageCount

  /**
   * Gives back what was only looked at, and waits until it is there again: a broker does that some time after the channel
   * has closed, and whoever looks next would find less than there is. `expected`: as many as should be there.
   */
  const giveBack = async (channel: DriverChannel, held: number, expected: number): Promise<void> => {
    if (held === 0) return
    // 0: all of this channel.
    channel.basicNack({ deliveryTag: 0, multiple: true, requeue: true })
    const over = clock.monotonic() + BACK_LIMIT_MS
    while ((await countOn(channel)) < expected && clock.monotonic() < over) await clock.sleep(BACK_LOOK_MS)
  }

  /** Takes those that are chosen, the others stay. */
  const take = (
    what: string,
    { ids, limit = 1_000 }: DeadLetterChoice,
    signal: () => AbortSignal,
    end: (delivery: Delivery) => Promise<unknown> | undefined,
  ): Promise<number> => {
    const wanted = ids === undefined ? undefined : new Set(ids)
    return onChannel(what, async (channel) => {
      let taken = 0
      let held = 0
      const count = await countOn(channel)
      // As many as there are now: what fails again comes back here.
      for (let left = count; left > 0 && taken < limit; left -= 1) {
        signal().throwIfAborted()
        const message = await channel.basicGet({ queue })
        if (message === undefined) break
        const delivery = readDelivery(message)
        if (wanted !== undefined && !wanted.has(delivery.raw.messageId ?? '')) {
          held += 1
          continue
        }
        await end(delivery)
        channel.basicAck({ deliveryTag: message.deliveryTag })
        taken += 1
      }
      await giveBack(channel, held, count - taken)
      return taken
    })
  }

  return {
    count: () => operations.run(COUNT, () => onChannel('counting', countOn), LIMITS),
    list: ({ limit = 100 } = {}) =>
      operations.run(
        LIST,
        (call) => {
          checkLimit(limit, MAX_LISTED)
          return onChannel('listing', async (channel) => {
            const letters: DeadLetter[] = []
            const count = await countOn(channel)
            while (letters.length < limit) {
              call.signal.throwIfAborted()
              const message = await channel.basicGet({ queue })
              if (message === undefined) break
              letters.push(toLetter(readDelivery(message)))
            }
            await giveBack(channel, letters.length, count)
            return letters
          })
        },
        LIMITS,
      ),
    redrive: (choice = {}) =>
      operations.run(
        REDRIVE,
        (call) => {
          checkLimit(choice.limit ?? 1, MAX_MOVED)
          return take(
            'redriving',
            choice,
            () => call.signal,
            (delivery) => send(backFrame(delivery, home), call),
          )
        },
        LIMITS,
      ),
    drop: (choice = {}) =>
      operations.run(
        DROP,
        (call) => {
          checkLimit(choice.limit ?? 1, MAX_MOVED)
          return take(
            'dropping',
            choice,
            () => call.signal,
            () => undefined,
          )
        },
        LIMITS,
      ),
  }
}

function toLetter({ raw, failedAttempts }: Delivery): DeadLetter {
  const { headers } = raw
  const death = deathOf(headers)
  const stamp = headers[HEADER.deadAt]
  const at = typeof stamp === 'string' ? new Date(stamp) : death?.at
  const reason = headers[HEADER.deadReason]
  const code = headers[HEADER.deadCode]
  return {
    id: raw.messageId ?? '',
    topic: raw.topic,
    exchange: raw.exchange,
    reason: typeof reason === 'string' ? reason : (death?.reason ?? 'unknown'),
    code: typeof code === 'string' ? code : undefined,
    attempts: failedAttempts,
    at: at === undefined || Number.isNaN(at.getTime()) ? undefined : at,
    bytes: raw.bytes,
    contentType: raw.contentType,
    headers: Object.fromEntries(Object.entries(headers).filter(([name]) => !isReserved(name))),
  }
}

function checkLimit(limit: number, most: number): void {
  if (!Number.isSafeInteger(limit) || limit < 1 || limit > most)
    throw invalidArgument('limit', `a whole number from 1 to ${most}`, limit)
}
