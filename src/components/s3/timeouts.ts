/** A request with a body has this much longer: what is slower is of no use to anybody. */
const BYTES_PER_SECOND = 64 * 1024

/** Deadline of a request that carries so many bytes. */
export function sizedTimeoutMs(baseMs: number, bytes: number): number {
  return baseMs + Math.ceil((bytes / BYTES_PER_SECOND) * 1_000)
}
