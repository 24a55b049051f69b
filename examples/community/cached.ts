/**
 * What is kept in the cache. Subscribers forget it when they have committed; where that is lost (the process died in
 * between, or the cache is the memory of another process) it ends with its time.
 */
import type { Background } from 'sluice'
import type { Transaction } from 'sluice/postgres'
import type { Redis } from 'sluice/redis'

export const SHOWN_FOR = '10s'

export const userKey = (id: string): string => `user:${id}`
export const postKey = (id: string): string => `post:${id}`
export const feedKey = (userId: string): string => `feed:${userId}`

export interface Forgetting {
  readonly cache: Redis
  readonly background: Background
}

/** Forgets these keys once the transaction has committed. Delays nobody. */
export function forgetAfter(
  tx: Transaction,
  { cache, background }: Forgetting,
  keys: readonly string[],
): void {
  if (keys.length === 0) return
  tx.afterCommit(() => {
    background.run('community.forget', () => cache.delBatch(keys).waitAll())
  })
}
