/**
 * A process that takes of a shared rate limit as fast as it can, for a second and until it was given some after it had
 * been refused, and tells its parent how much it got.
 */
import { connectRedis } from './support.ts'

const [addr, keyPrefix, limit, window] = process.argv.slice(2) as [string, string, string, string]
await using connected = await connectRedis({ addr, keyPrefix })
const limiter = connected.cache.rateLimiter({ limit: Number(limit), window: Number(window) })
process.send?.('ready')
await new Promise((resolve) => process.once('message', resolve))
let allowed = 0
let asked = 0
let refilled = false
const until = performance.now() + 1_000
while (performance.now() < until || !refilled) {
  const decisions = await Promise.all(Array.from({ length: 8 }, () => limiter.take('shared')))
  refilled ||= asked > allowed && decisions.some((decision) => decision.allowed)
  asked += decisions.length
  allowed += decisions.filter((decision) => decision.allowed).length
}
process.send?.({ allowed, asked })
process.disconnect()
