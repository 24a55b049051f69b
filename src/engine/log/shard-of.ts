/** Which shard of a subscription an event belongs to: by its key, so that a key is one shard's; without one, by its id. */
import type { EventRow } from './window.ts'

/** FNV-1a of the UTF-8 bytes. Never to be changed: cursors of shards depend on it. */
export function shardOf({ key, id }: Pick<EventRow, 'key' | 'id'>, shards: number): number {
  if (shards === 1) return 0
  if (key === null) return Number(BigInt(id) % BigInt(shards))
  let hash = 0x811c9dc5
  for (const byte of Buffer.from(key)) hash = Math.imul(hash ^ byte, 0x01000193)
  return (hash >>> 0) % shards
}
