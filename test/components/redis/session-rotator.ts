/** A process that rotates each session that its parent names, and tells the new id, or null. */
import { once } from 'node:events'
import { connectRedis } from './support.ts'

const [addr, keyPrefix] = process.argv.slice(2) as [string, string]
await using connected = await connectRedis({ addr, keyPrefix })
const sessions = connected.cache.sessions<{ user: number }>()
const over = once(process, 'disconnect')
process.on('message', (id) => void sessions.rotate(String(id)).then((next) => process.send?.({ next })))
process.send?.('ready')
await over
