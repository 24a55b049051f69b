/** What may be said about reading through the cache, and what is made of it. */
import { durationMs, type Duration } from '../../core/duration.ts'
import { invalid, ttlMs } from './commands/command.ts'

export interface CachedOptions {
  /** For this long after `ttl` the old value is served while one caller loads a new one behind it. @default 0 */
  readonly staleFor?: Duration
  /** How long null and undefined are kept; 0 asks `load` each time. @default 0 */
  readonly negativeTtl?: Duration
  /** A random part of this size is taken off `ttl`, so that keys written together do not end together. @default 0.1 */
  readonly jitter?: number
  /** `load`: work without the cache when it fails. `throw`: reject with its error. @default 'load' */
  readonly onCacheError?: 'load' | 'throw'
  /** One process loads at a time; others wait this long for its value before they load too. @default 0, no lock */
  readonly lock?: Duration
  /** Limit of `load`. @default '30s' */
  readonly loadTimeout?: Duration
  /** Ends this caller's wait. The load goes on while somebody waits. */
  readonly signal?: AbortSignal
}

/** Durations in milliseconds. */
export interface Settings {
  readonly ttl: number
  readonly staleFor: number
  readonly negativeTtl: number
  readonly jitter: number
  readonly onCacheError: 'load' | 'throw'
  readonly lock: number
  readonly loadTimeout: number
}

export function settle(ttl: Duration, options: CachedOptions): Settings {
  const { jitter = 0.1 } = options
  if (!(jitter >= 0 && jitter < 1))
    throw invalid(`cached jitter: expected 0 to less than 1, got ${String(jitter)}`)
  return {
    ttl: ttlMs(ttl, 'cached ttl'),
    staleFor: durationMs(options.staleFor ?? 0, 'cached staleFor'),
    negativeTtl: durationMs(options.negativeTtl ?? 0, 'cached negativeTtl'),
    jitter,
    onCacheError: options.onCacheError ?? 'load',
    lock: durationMs(options.lock ?? 0, 'cached lock'),
    loadTimeout: durationMs(options.loadTimeout ?? '30s', 'cached loadTimeout'),
  }
}
