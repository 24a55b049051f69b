/**
 * Cuts a stream into parts, each in a buffer of the caller's, so that an upload of any length needs the memory of the
 * parts that are under way and no more.
 */
import type { SluiceError } from '../../core/errors.ts'
import { invalidArgument } from '../../core/errors.ts'

/** The first buffer grows from this: most streams are smaller than a part. */
const FIRST_BYTES = 256 * 1024

export class PartReader {
  readonly #source: AsyncIterator<Uint8Array>
  readonly #partSize: number
  readonly #size: number | undefined
  #rest: Uint8Array | undefined
  #ended = false
  #bytes = 0

  constructor(source: AsyncIterator<Uint8Array>, partSize: number, size: number | undefined) {
    this.#source = source
    this.#partSize = partSize
    this.#size = size
  }

  /** True once the stream has given all. */
  get ended(): boolean {
    return this.#ended && this.#rest === undefined
  }

  /** The next part, in `buffer` where one is given; shorter than a part only at the end of the stream. */
  async read(buffer?: Buffer): Promise<Buffer> {
    let target = buffer ?? Buffer.allocUnsafeSlow(Math.min(FIRST_BYTES, this.#partSize))
    let filled = 0
    while (filled < this.#partSize) {
      const chunk = this.#rest ?? (await this.#next())
      if (chunk === undefined) break
      const taken = Math.min(chunk.length, this.#partSize - filled)
      if (filled + taken > target.length) target = this.#grow(target, filled, filled + taken)
      target.set(taken === chunk.length ? chunk : chunk.subarray(0, taken), filled)
      filled += taken
      this.#rest = taken === chunk.length ? undefined : chunk.subarray(taken)
    }
    // Whether this was the last part must be known before it is sent.
    if (this.#rest === undefined && !this.#ended) this.#rest = await this.#next()
    return target.subarray(0, filled)
  }

  #grow(target: Buffer, filled: number, needed: number): Buffer {
    const grown = Buffer.allocUnsafeSlow(Math.min(this.#partSize, Math.max(needed, target.length * 4)))
    grown.set(target.subarray(0, filled))
    return grown
  }

  async #next(): Promise<Uint8Array | undefined> {
    while (!this.#ended) {
      const { done, value } = await this.#source.next()
      if (done === true) {
        this.#ended = true
        if (this.#size !== undefined && this.#bytes !== this.#size) throw this.#wrongSize()
      } else if (value.length > 0) {
        this.#bytes += value.length
        if (this.#size !== undefined && this.#bytes > this.#size) throw this.#wrongSize()
        return value
      }
    }
    return undefined
  }

  #wrongSize(): SluiceError {
    return invalidArgument('size', 'as many bytes as the stream gives', this.#size)
  }
}
