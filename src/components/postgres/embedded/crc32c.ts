/** CRC-32C (Castagnoli), with which PostgreSQL protects its log; zlib's is another polynomial. Slicing by eight. */
const POLYNOMIAL = 0x82f63b78
const SLICES = 8

export type Crc32c = (bytes: Uint8Array, start: number, end: number, seed?: number) => number

/** Makes the function with its tables (8 KB). Hand the result back as `seed` to go on with further bytes. */
export function createCrc32c(): Crc32c {
  const tables = new Int32Array(SLICES * 256)
  for (let byte = 0; byte < 256; byte++) {
    let value = byte
    for (let bit = 0; bit < 8; bit++) value = (value >>> 1) ^ (value & 1 ? POLYNOMIAL : 0)
    tables[byte] = value
  }
  for (let index = 256; index < tables.length; index++) {
    const previous = tables[index - 256]!
    tables[index] = (previous >>> 8) ^ tables[previous & 0xff]!
  }
  return (bytes, start, end, seed = 0) => {
    let crc = ~seed
    let at = start
    for (; at + SLICES <= end; at += SLICES) {
      crc ^= bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)
      crc =
        tables[1792 + (crc & 0xff)]! ^
        tables[1536 + ((crc >>> 8) & 0xff)]! ^
        tables[1280 + ((crc >>> 16) & 0xff)]! ^
        tables[1024 + (crc >>> 24)]! ^
        tables[768 + bytes[at + 4]!]! ^
        tables[512 + bytes[at + 5]!]! ^
        tables[256 + bytes[at + 6]!]! ^
        tables[bytes[at + 7]!]!
    }
    for (; at < end; at++) crc = (crc >>> 8) ^ tables[(crc ^ bytes[at]!) & 0xff]!
    return ~crc >>> 0
  }
}
