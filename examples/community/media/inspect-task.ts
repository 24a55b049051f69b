/** Runs in a worker thread: what a picture is, from its bytes and not from what somebody says of it. */
import { sizeOf } from './size.ts'
import { averageColor } from './png.ts'

export interface Inspection {
  readonly width: number
  readonly height: number
  /** What the page shows until the picture is there: its average where it is a PNG, else grey. */
  readonly color: string
}

/** More would be a bomb, not a picture. */
const MAX_PIXELS = 40_000_000
const GREY = '#808080'

export function run(data: Uint8Array): Inspection | null {
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength)
  const size = sizeOf(bytes)
  if (size === null || size.width < 1 || size.height < 1 || size.width * size.height > MAX_PIXELS) return null
  const { type, width, height } = size
  return { width, height, color: (type === 'png' ? averageColor(bytes) : null) ?? GREY }
}
