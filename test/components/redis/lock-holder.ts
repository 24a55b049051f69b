/** A process that takes a lock again and again, and tells its parent of each time that it had it. */
import { connectRedis } from './support.ts'

const [addr, keyPrefix, rounds] = process.argv.slice(2) as [string, string, string]
await using connected = await connectRedis({ addr, keyPrefix })
const { cache } = connected
for (let round = 0; round < Number(rounds); round += 1) {
  await cache.withLock('shared', { wait: '20s', ttl: '5s' }, async ({ token }) => {
    // What the lock protects: reading and writing in two steps would lose counts without it.
    const before = Number((await cache.get('count')) ?? 0)
    await cache.set('count', before + 1)
    process.send?.({ token, count: before + 1 })
  })
}
process.disconnect()
