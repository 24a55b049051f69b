import { serverAt } from '../../support/servers.ts'
import { redisConformance } from './conformance.ts'

const server = await serverAt('redis')

redisConformance('in memory', {}, false)
redisConformance('on a server', { addr: server.url }, server.skip)
