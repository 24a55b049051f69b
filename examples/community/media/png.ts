/**
 * The average colour of a PNG: unpacks it, undoes the filters of its lines and adds up all pixels, which takes a tenth of
 * a second or more for what a camera makes. Only pictures of eight bits a channel that are not interlaced; null for others.
 */
import { inflateSync } from 'node:zlib'
import { PNG_SIGNATURE } from './size.ts'

/** Channels by the colour type of the header; those of palettes (3) would need their table. */
const CHANNELS: Readonly<Record<number, number>> = { 0: 1, 2: 3, 4: 2, 6: 4 }

export function averageColor(bytes: Buffer): string | null {
  const [width, height] = [bytes.readUInt32BE(16), bytes.readUInt32BE(20)]
  const channels = CHANNELS[bytes.readUInt8(25)]
  const isPlain = bytes.readUInt8(24) === 8 && bytes.readUInt8(28) === 0
  if (channels === undefined || !isPlain) return null
  const line = width * channels
  const packed = Buffer.concat(dataOf(bytes))
  let pixels: Buffer
  try {
    pixels = inflateSync(packed, { maxOutputLength: (line + 1) * height })
  } catch {
    return null // damaged, or more than it says
  }
  if (pixels.length < (line + 1) * height) return null
  const sums = sumOf(pixels, line, height, channels)
  const color = channels < 3 ? [sums[0], sums[0], sums[0]] : sums.slice(0, 3)
  return `#${color
    .map((sum = 0) =>
      Math.round(sum / (width * height))
        .toString(16)
        .padStart(2, '0'),
    )
    .join('')}`
}

function dataOf(bytes: Buffer): Buffer[] {
  const parts: Buffer[] = []
  for (let at = PNG_SIGNATURE.length; at + 12 <= bytes.length;) {
    const length = bytes.readUInt32BE(at)
    if (bytes.toString('latin1', at + 4, at + 8) === 'IDAT')
      parts.push(bytes.subarray(at + 8, at + 8 + length))
    at += 12 + length
  }
  return parts
}

/** Sums of each channel. Lines are unfiltered in place: each may be told by the one above. */
function sumOf(pixels: Buffer, line: number, height: number, channels: number): number[] {
  const sums = Array.from({ length: channels }, () => 0)
  for (let y = 0; y < height; y++) {
    const start = y * (line + 1) + 1
    const filter = pixels[start - 1] ?? 0
    for (let x = 0; x < line; x++) {
      const left = x < channels ? 0 : (pixels[start + x - channels] ?? 0)
      const above = y === 0 ? 0 : (pixels[start + x - line - 1] ?? 0)
      const corner = x < channels || y === 0 ? 0 : (pixels[start + x - line - 1 - channels] ?? 0)
      const value = ((pixels[start + x] ?? 0) + guess(filter, left, above, corner)) & 255
      pixels[start + x] = value
      sums[x % channels] = (sums[x % channels] ?? 0) + value
    }
  }
  return sums
}

function guess(filter: number, left: number, above: number, corner: number): number {
  switch (filter) {
    case 1:
      return left
    case 2:
      return above
    case 3:
      return (left + above) >> 1
    case 4: {
      const [a, b, c] = [above - corner, left - corner, left + above - 2 * corner].map(Math.abs) as [
        number,
        number,
        number,
      ]
      return a <= b && a <= c ? left : b <= c ? above : corner
    }
    default:
      return 0
  }
}
