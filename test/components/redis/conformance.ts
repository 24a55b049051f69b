/** What a redis component promises, whatever stands behind it. Runs on a server and in memory. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { RedisOptions } from '../../../src/components/redis/index.ts'
import { batchesConformance } from './conformance/batches.ts'
import { cachedConformance } from './conformance/cached.ts'
import { collectionsConformance } from './conformance/collections.ts'
import { locksConformance } from './conformance/locks.ts'
import { pubSubConformance } from './conformance/pub-sub.ts'
import { rateLimiterConformance } from './conformance/rate-limiter.ts'
import { rawConformance } from './conformance/raw.ts'
import { sessionsConformance } from './conformance/sessions.ts'
import { stringsConformance } from './conformance/strings.ts'
import { connectRedis, hasCode, ownPrefix, type Connected, type ConnectOptions } from './support.ts'

/** Connects a component whose keys are its own. */
export type RedisFactory = (options?: RedisOptions, more?: ConnectOptions) => Promise<Connected>

/** `options`: where the data is. `skip`: why it cannot run here. */
export function redisConformance(name: string, options: RedisOptions, skip: string | false): void {
  const factory: RedisFactory = (more, how) =>
    connectRedis({ keyPrefix: ownPrefix(), ...options, ...more }, how)
  describe(`redis: ${name}`, { skip, concurrency: true }, () => {
    lifeConformance(options)
    stringsConformance(factory)
    collectionsConformance(factory)
    batchesConformance(factory)
    rawConformance(factory)
    pubSubConformance(factory)
    cachedConformance(factory)
    rateLimiterConformance(factory)
    locksConformance(factory)
    sessionsConformance(factory)
  })
}

function lifeConformance(options: RedisOptions): void {
  it('operations before connect reject with SLUICE_NOT_READY', async () => {
    await using connected = await connectRedis(options, { idle: true })
    await assert.rejects(connected.cache.get('a'), hasCode('SLUICE_NOT_READY'))
  })
  it('check resolves while connected, and rejects after close', async () => {
    const connected = await connectRedis(options)
    await connected.component.check(AbortSignal.timeout(5_000))
    await connected[Symbol.asyncDispose]()
    await assert.rejects(connected.component.check(AbortSignal.timeout(5_000)))
  })
  it('close before connect does nothing, and operations after close reject', async () => {
    const idle = await connectRedis(options, { idle: true })
    await idle[Symbol.asyncDispose]()
    const connected = await connectRedis(options)
    await connected[Symbol.asyncDispose]()
    await assert.rejects(connected.cache.get('a'), hasCode('SLUICE_NOT_READY'))
  })
  it('inspect holds no secret', async () => {
    await using connected = await connectRedis({ ...options, password: 'canary-4711' }, { idle: true })
    assert.doesNotMatch(JSON.stringify(connected.component.inspect()), /canary/)
  })
}
