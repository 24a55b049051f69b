/** Bytes that are written again and again, four at once: one by one they take as long as a whole entity that is copied. */

export class Constant {
  /** So many bytes behind its end may be written over. */
  static readonly SPILL = 3
  readonly length: number
  readonly #words: Int32Array

  /** In UTF-8. */
  constructor(text: string) {
    const bytes = Buffer.from(text)
    this.length = bytes.length
    const padded = Buffer.concat([bytes, Buffer.alloc(Constant.SPILL)])
    const count = Math.ceil(bytes.length / 4)
    this.#words = Int32Array.from({ length: count }, (_, word) => padded.readInt32LE(4 * word))
  }

  /** @returns the place behind it */
  write(view: DataView, at: number): number {
    const words = this.#words
    for (let word = 0; word < words.length; word++) view.setInt32(at + 4 * word, words[word]!, true)
    return at + this.length
  }
}
