/**
 * Messages that were given up on, in a queue of their own: looked at, sent back, thrown away.
 *
 * A queue can only be read from its head, and what is read comes back when the channel closes. So each of these reads one
 * after another, keeps hold of what it leaves, and gives that back at the end. Two at once on one queue see parts of it.
 */
import type { AsyncResult } from '../../core/async-result.ts'
import { invalidArgument } from '../../core/errors.ts'
import type { OperationSpec, Operations } from '../../telemetry/operate.ts'
import type { BrokerConnection } from './connect/connection.ts'
import { keepBytes, type DriverChannel } from './connect/driver.ts'
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
const MAX_LISTED = 1_000
const MAX_MOVED = 10_000

export function createDeadLetters(parts: DeadLetterParts): DeadLetters {
  const { operations, queue, home, send } = parts
  const onChannel = <T>(what: string, fn: (channel: DriverChannel) => Promise<T>): Promise<T> =>
    parts.connection().withChannel(`${what} the dead letters in "${queue}"`, (channel) => {
      keepBytes(channel)
      return fn(channel)
    })
  const countOn = async (channel: DriverChannel): Promise<number> =>
    (await channel.queueDeclare({ queue, passive: true })).messageCount

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
      // As many as there are now: what fails again comes back here.
      for (let left = await countOn(channel); left > 0 && taken < limit; left -= 1) {
        signal().throwIfAborted()
        const message = await channel.basicGet({ queue })
        if (message === undefined) break
        const delivery = readDelivery(message)
        if (wanted !== undefined && !wanted.has(delivery.raw.messageId ?? '')) continue
        await end(delivery)
        channel.basicAck({ deliveryTag: message.deliveryTag })
        taken += 1
      }
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
            while (letters.length < limit) {
              call.signal.throwIfAborted()
              const message = await channel.basicGet({ queue })
              if (message === undefined) break
              letters.push(toLetter(readDelivery(message)))
            }
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
  const death = deathOf(headers['x-death'])
  const stamp = headers[HEADER.deadAt]
  const at = typeof stamp === 'string' ? new Date(stamp) : death?.at
  const reason = headers[HEADER.deadReason]
  const code = headers[HEADER.deadCode]
  const isOurs = typeof reason === 'string'
  return {
    id: raw.messageId ?? '',
    topic: isOurs ? raw.topic : (death?.topic ?? raw.topic),
    exchange: isOurs ? raw.exchange : (death?.exchange ?? raw.exchange),
    reason: isOurs ? reason : (death?.reason ?? 'unknown'),
    code: typeof code === 'string' ? code : undefined,
    attempts: failedAttempts,
    at: at === undefined || Number.isNaN(at.getTime()) ? undefined : at,
    bytes: raw.bytes,
    contentType: raw.contentType,
    headers: Object.fromEntries(Object.entries(headers).filter(([name]) => !isReserved(name))),
  }
}

interface Death {
  readonly reason: string | undefined
  readonly exchange: string | undefined
  readonly topic: string | undefined
  readonly at: Date | undefined
}

/** What the broker wrote when it moved a message here: the newest first. */
function deathOf(header: unknown): Death | undefined {
  const first: unknown = Array.isArray(header) ? header[0] : undefined
  if (typeof first !== 'object' || first === null) return undefined
  const { reason, exchange, 'routing-keys': keys, time } = first as Readonly<Record<string, unknown>>
  const key: unknown = Array.isArray(keys) ? keys[0] : undefined
  return {
    reason: typeof reason === 'string' ? reason : undefined,
    exchange: typeof exchange === 'string' ? exchange : undefined,
    topic: typeof key === 'string' ? key : undefined,
    at: typeof time === 'number' ? new Date(time * 1_000) : undefined,
  }
}

function checkLimit(limit: number, most: number): void {
  if (!Number.isSafeInteger(limit) || limit < 1 || limit > most)
    throw invalidArgument('limit', `a whole number from 1 to ${most}`, limit)
}
