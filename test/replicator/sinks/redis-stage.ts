/** A store for the suite of the sinks on a server, under names of its own. */
import { redisSink, replicaKeys, type RedisSinkOptions } from '../../../src/replicator/sinks/redis/index.ts'
import type { Redis } from '../../../src/components/redis/index.ts'
import { connectRedis, ownPrefix } from '../../components/redis/support.ts'
import { LANE_NAMES, type Stage } from './support.ts'

export interface RedisStage extends Stage {
  readonly redis: Redis
  readonly keys: ReturnType<typeof replicaKeys>
  /** After the server was gone. */
  reconnect(): Promise<void>
  /** The key of what a lane keeps, with the prefix. */
  key(lane: string, what: string): string
}

export async function redisStage(options: {
  readonly addr: string
  readonly run?: NonNullable<RedisSinkOptions['run']>
  readonly timeout?: string
}): Promise<RedisStage> {
  const keyPrefix = ownPrefix()
  const connected = await connectRedis({
    addr: options.addr,
    keyPrefix,
    dialTimeout: '30s',
    readTimeout: '30s',
  })
  const { cache: redis } = connected
  const keys = replicaKeys({ name: 'suite' })
  const all = async (pattern: string): Promise<string[]> => {
    const found = []
    for await (const key of redis.scan({ match: pattern, count: 1_000 })) found.push(key)
    return found
  }
  const empty = async (): Promise<void> => {
    const found = (await Promise.all(LANE_NAMES.map((lane) => all(`{suite:${lane}}:*`)))).flat()
    if (found.length > 0) await redis.delBatch(found).waitAll()
  }
  return {
    redis,
    keys,
    reconnect: () => connected.connect(),
    key: (lane, what) => keyPrefix + keys.base(lane) + what,
    sink: ({ leaseMs = 10_000, tombstoneMs = 86_400_000 } = {}) =>
      redisSink({
        redis,
        name: 'suite',
        run: options.run ?? 'auto',
        timeout: options.timeout ?? '30s',
        lease: leaseMs,
        tombstones: tombstoneMs,
      }),
    entity: async (lane, id) => (await redis.get(keys.entity(lane, id))) ?? undefined,
    lookup: async (lane, name) => (await redis.get(keys.lookup(lane, name))) ?? undefined,
    ids: async (lane) => {
      const base = keys.entity(lane, '')
      return (await all(`${base}*`)).map((key) => key.slice(base.length)).sort()
    },
    isLeased: (lane) => redis.exists(`${keys.base(lane)}lease`),
    expireLeases: async () => {
      await redis.delBatch(LANE_NAMES.map((lane) => `${keys.base(lane)}lease`)).waitAll()
    },
    empty,
    async [Symbol.asyncDispose]() {
      await empty()
      await connected[Symbol.asyncDispose]()
    },
  }
}
