/** Random numbers that come again from the same seed, so that a failing test can be repeated. */

/**
 * A generator of numbers uniform in [0, 1). `seed` is any integer; only its lower 32 bits count.
 * The algorithm is mulberry32 (Tommy Ettinger, public domain): a period of 2^32, good enough for tests, not for secrets.
 */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}
