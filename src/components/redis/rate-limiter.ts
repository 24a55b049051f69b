/** A rate limit shared by every process that uses the same server. */
import type { AsyncResult } from '../../core/async-result.ts'
import { durationMs, type Duration } from '../../core/duration.ts'
import type { Reply } from './backend.ts'
import { defineOperation, invalid } from './commands/command.ts'
import { attempt, type Invoker } from './invoke.ts'
import { TAKE_TOKENS } from './scripts/rate-limit.ts'

export interface RateLimiterOptions {
  /** Tokens that the bucket holds, all of which may be taken at once. */
  readonly limit: number
  /** In this time an empty bucket becomes full again, evenly. */
  readonly window: Duration
  /** Keys begin with it; two limiters with one name and the same keys share their buckets. @default 'limit' */
  readonly name?: string
}

export interface RateLimitDecision {
  readonly allowed: boolean
  readonly limit: number
  /** Tokens left now. */
  readonly remaining: number
  /** Milliseconds until as much would be allowed; 0 when it was. */
  readonly retryAfterMs: number
  /** Milliseconds until the bucket is full. */
  readonly resetAfterMs: number
}

export interface RateLimiter {
  /**
   * Takes `cost` tokens (1) of the bucket of `key`, or none when they are not there. In any stretch of time t no more
   * than `limit × (1 + t / window)` are given out. Rejects like every operation: whether to let through what could not
   * be counted is the caller's choice.
   */
  take(key: string, cost?: number): AsyncResult<RateLimitDecision>
  /** Fills the bucket of `key`. */
  reset(key: string): AsyncResult<number>
}

const TAKE = defineOperation('rate-limit', false)

export function createRateLimiter(invoker: Invoker, options: RateLimiterOptions): RateLimiter {
  const { limit, name = 'limit' } = options
  const windowUs = Math.round(durationMs(options.window, 'rateLimiter window') * 1_000)
  if (!Number.isSafeInteger(limit) || limit < 1) {
    throw invalid(`rateLimiter limit: expected a whole number of at least 1, got ${String(limit)}`)
  }
  if (windowUs < 1_000) throw invalid('rateLimiter window: expected at least one millisecond')
  const keyOf = (key: string): string => `${name}:${key}`
  const parse = (reply: Reply): RateLimitDecision => {
    const [allowed, remaining, waitUs, fullUs] = reply as readonly number[]
    return {
      allowed: allowed === 1,
      limit,
      remaining: remaining ?? 0,
      retryAfterMs: Math.ceil((waitUs ?? 0) / 1_000),
      resetAfterMs: Math.ceil((fullUs ?? 0) / 1_000),
    }
  }
  return {
    take: (key, cost = 1) =>
      attempt(() => {
        if (!Number.isSafeInteger(cost) || cost < 1 || cost > limit) {
          throw invalid(`take cost: expected a whole number from 1 to ${limit}, got ${String(cost)}`)
        }
        return invoker.runScript({
          spec: TAKE,
          script: TAKE_TOKENS,
          keys: [invoker.key(keyOf(key))],
          args: [String(limit), String(windowUs), String(cost)],
          parse,
        })
      }),
    reset: (key) => attempt(() => invoker.send(invoker.commands.del(keyOf(key)))),
  }
}
