/** How many shards each contender may hold: the shards dealt out evenly, the first few getting one more. */

/** `rank`: place of the worker among `contenders`, from 0. What all of them get adds up to `shards`. */
export function shardQuota(shards: number, contenders: number, rank: number): number {
  if (contenders === 0) return 0
  return Math.floor(shards / contenders) + (rank < shards % contenders ? 1 : 0)
}
