import type { RedisSinkOptions } from '../../../src/replicator/sinks/redis/index.ts'
import { serverAt } from '../../support/servers.ts'
import { sinkConformance } from './conformance.ts'
import { redisStage } from './redis-stage.ts'

const server = await serverAt('redis')

for (const run of ['function', 'script', 'single'] as const satisfies readonly RedisSinkOptions['run'][]) {
  sinkConformance(`redis, ${run}`, () => redisStage({ addr: server.url, run }), server.skip)
}
