/** Sizes: bytes as a number, or a string such as `'64mb'`. Units count in 1024s, as PostgreSQL's settings do. */

const UNIT_BYTES = { b: 1, kb: 1024, mb: 1024 ** 2, gb: 1024 ** 3, tb: 1024 ** 4 } as const
type Unit = keyof typeof UNIT_BYTES

/** Bytes of a size (`1024`, `'512'`, `'64mb'`, `'1.5gb'`, `'8MiB'`), or undefined where it is none. */
export function parseSize(value: number | string): number | undefined {
  if (typeof value === 'number') return Number.isSafeInteger(value) && value >= 0 ? value : undefined
  const match = /^(\d+(?:\.\d+)?)\s*(?:([kmgt]?)i?(b)|([kmgt]))?$/.exec(value.trim().toLowerCase())
  if (match === null) return undefined
  const letter = match[2] ?? match[4] ?? ''
  const bytes = Math.round(Number(match[1]) * UNIT_BYTES[`${letter}b` as Unit])
  return Number.isSafeInteger(bytes) ? bytes : undefined
}

/** `67108864` as `64mb`, where that is exact; else bytes. */
export function formatSize(bytes: number): string {
  for (const unit of ['tb', 'gb', 'mb', 'kb'] as const) {
    if (bytes >= UNIT_BYTES[unit] && bytes % UNIT_BYTES[unit] === 0)
      return `${bytes / UNIT_BYTES[unit]}${unit}`
  }
  return `${bytes}b`
}
