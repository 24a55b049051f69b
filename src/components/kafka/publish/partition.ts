/**
 * The partition of a key, as Java clients choose it: the hash murmur2, without its sign. The driver has it too, with
 * numbers of any size, which takes twenty times as long.
 */
const SEED = 0x9747b28c
const FACTOR = 0x5bd1e995

export function partitionOf(key: Buffer, partitions: number): number {
  return (murmur2(key) & 0x7fffffff) % partitions
}

function murmur2(bytes: Buffer): number {
  const { length } = bytes
  const whole = length & ~3
  let hash = SEED ^ length
  for (let at = 0; at < whole; at += 4) {
    let part = Math.imul(wordAt(bytes, at, 4), FACTOR)
    part ^= part >>> 24
    hash = Math.imul(hash, FACTOR) ^ Math.imul(part, FACTOR)
  }
  if (whole < length) hash = Math.imul(hash ^ wordAt(bytes, whole, length - whole), FACTOR)
  hash = Math.imul(hash ^ (hash >>> 13), FACTOR)
  return hash ^ (hash >>> 15)
}

/** Least byte first. */
function wordAt(bytes: Buffer, from: number, count: number): number {
  let word = 0
  for (let index = 0; index < count; index++) word |= bytes[from + index]! << (8 * index)
  return word
}
