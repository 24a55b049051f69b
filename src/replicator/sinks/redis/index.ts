/** Keeps entities in Redis, for any number of readers. */
import type { Redis } from '../../../components/redis/index.ts'
import { durationMs, type Duration } from '../../../core/duration.ts'
import { invalidArgument } from '../../../core/errors.ts'
import type { SinkFactory } from '../../contract.ts'
import { replicaKeys, type ReplicaNaming } from './keys.ts'
import { Runner } from './runner.ts'
import { RedisSink } from './sink.ts'

export { replicaKeys, type ReplicaKeys, type ReplicaNaming } from './keys.ts'

export interface RedisSinkOptions extends ReplicaNaming {
  /** The redis component, on a server. A function is asked for it when the replicator is made. */
  readonly redis: Redis | (() => Redis)
  /** How long another writer waits before it takes over from one that is silent. @default '10s' */
  readonly lease?: Duration
  /** Limit of one call to the server. @default '3s' */
  readonly timeout?: Duration
  /** How long a deleted id is remembered, so that nothing older brings it back. @default '1d' */
  readonly tombstones?: Duration
  /** Dead letters kept for each lane; the oldest go first. @default 1000 */
  readonly deadLetters?: number
  /** Entities in one atomic unit; a larger batch is several. 1 to 1000. @default 1000 */
  readonly unit?: number
  /** Characters of one entity at most; a larger one becomes a dead letter. @default 8388608 */
  readonly maxEntity?: number
  /**
   * `function`: functions of the server (Redis 7). `script`: scripts by their hashes. `single`: one script an entity,
   * for servers that refuse batches; the cursor follows. `auto`: functions where there are any, else scripts.
   * @default 'auto'
   */
  readonly run?: 'auto' | 'function' | 'script' | 'single'
}

const MAX_UNIT = 1_000
/** Characters in one unit: far below what a server takes, and little enough that others wait no longer than for this. */
const UNIT_SIZE = 16 * 1_024 * 1_024

/**
 * A sink on Redis 7.0 or later. Guarantees: a batch is applied as a whole or not at all; nothing older overwrites what
 * is newer; a writer that was replaced can change nothing any more; the cursor never passes what is not stored.
 * Its keys must not be evicted: run the server with `noeviction`, or a `volatile-*` policy.
 * Calls reject with the codes of the redis component, and with SLUICE_LEASE_LOST. @throws SluiceError SLUICE_INVALID_ARGUMENT
 */
export function redisSink(options: RedisSinkOptions): SinkFactory {
  const { run = 'auto', name = 'replica', schema = 1 } = options
  if (!/^[\w.:-]{1,64}$/.test(name)) throw invalidArgument('name', '1 to 64 letters, digits or . : _ -', name)
  if (!/^[\w.-]{1,32}$/.test(String(schema)))
    throw invalidArgument('schema', 'a number or 1 to 32 letters, digits or . _ -', schema)
  if (!['auto', 'function', 'script', 'single'].includes(run))
    throw invalidArgument('run', "'auto', 'function', 'script' or 'single'", run)
  const leaseMs = between('lease', durationMs(options.lease ?? '10s', 'lease'), 100, 600_000)
  const timeoutMs = between('timeout', durationMs(options.timeout ?? '3s', 'timeout'), 10, 60_000)
  const tombstoneMs = between(
    'tombstones',
    durationMs(options.tombstones ?? '1d', 'tombstones'),
    1,
    366 * 86_400_000,
  )
  const deadLetters = between('deadLetters', options.deadLetters ?? 1_000, 0, 100_000)
  const changes = between('unit', options.unit ?? MAX_UNIT, 1, MAX_UNIT)
  const entity = between('maxEntity', options.maxEntity ?? 8 * 1_024 * 1_024, 2, UNIT_SIZE * 8)
  return (context) => {
    const redis = typeof options.redis === 'function' ? options.redis() : options.redis
    return new RedisSink(context, {
      runner: new Runner(redis, timeoutMs, run === 'function' || run === 'script' ? run : undefined),
      keys: replicaKeys({ name, schema }),
      leaseMs,
      tombstoneMs,
      deadLetters,
      limits: { changes, size: UNIT_SIZE, entity },
      singly: run === 'single',
    })
  }
}

function between(option: string, value: number, min: number, max: number): number {
  if (Number.isInteger(value) && value >= min && value <= max) return value
  throw invalidArgument(option, `a whole number from ${min} to ${max}`, value)
}
