/**
 * Takes whole text frames out of the bytes of a connection before `ws` sees them. All else goes on to it, in order: the
 * handshake, control frames, what is fragmented, too long, wrong, or not wanted here.
 *
 *     socket ──bytes──► whole frames ──text──► take: a message
 *                            └──── the rest ─► pass: `ws`
 *
 * A frame costs `ws` a microsecond and five objects, which is more than all that is done with most messages here; and a
 * socket that reads into memory of its own makes none either. Of the protocol this knows where a frame ends, and what
 * is a text frame; whatever it does not know is left to `ws`, which checks it.
 */

export interface WholeFramesOptions {
  /** Frames with more are left to `ws`, which refuses them. */
  readonly maxPayload: number
  /** May a message be taken now, that is, does `ws` have nothing before it that it has not delivered? Asked for each frame. */
  readonly isOpen: () => boolean
  /** The text of a frame, which may be no UTF-8, to be read at once. False where it is for `ws`. */
  readonly take: (bytes: Buffer, from: number, to: number) => boolean
  /** Bytes for `ws`, a copy. False to be given nothing for now. */
  readonly pass: (bytes: Buffer) => boolean
}

/** What is read at once, the beginning of a frame that is not there in full included. A longer frame goes to `ws`. */
const MEMORY = 256 * 1_024
const HANDSHAKE_END = Buffer.from('\r\n\r\n')

export class WholeFrames {
  readonly #options: WholeFramesOptions
  readonly #memory = Buffer.allocUnsafeSlow(MEMORY)
  /** Bytes at the start of the memory: the beginning of a frame. */
  #kept = 0
  /** Bytes of the frame under way that are still to be passed. */
  #passing = 0
  /** How much of the end of the handshake was seen. */
  #handshake = 0
  #isFragmented = false
  #isClosed = false

  constructor(options: WholeFramesOptions) {
    this.#options = options
  }

  /** Where the next bytes are to be read into. */
  get room(): Buffer {
    return this.#memory.subarray(this.#kept)
  }

  /** So many bytes were read into `room`. @returns false to be given nothing for now */
  read(count: number): boolean {
    const memory = this.#memory
    const end = this.#kept + count
    let at = 0
    let goesOn = true
    if (this.#handshake < HANDSHAKE_END.length) {
      at = this.#handshakeEnd(end)
      goesOn = this.#pass(0, at)
    }
    while (at < end) {
      if (this.#passing > 0) {
        const passed = Math.min(this.#passing, end - at)
        goesOn = this.#pass(at, at + passed) && goesOn
        this.#passing -= passed
        at += passed
        continue
      }
      const length = this.#frameLength(at, end)
      // Its header is not there in full.
      if (length === 0) break
      if (this.#isForUs(at, length)) {
        if (at + length > end) break
        const header = memory[at + 1]! < EXTENDED ? SHORT_HEADER : LONG_HEADER
        if (this.#options.take(memory, at + header, at + length)) {
          at += length
          continue
        }
      }
      this.#note(memory[at]!)
      this.#passing = length
    }
    if (at > 0) memory.copyWithin(0, at, end)
    this.#kept = end - at
    return goesOn
  }

  /** Of a text frame that is whole, not masked, and of at most 65,535 bytes. */
  #isForUs(at: number, length: number): boolean {
    const memory = this.#memory
    return (
      memory[at] === WHOLE_TEXT &&
      memory[at + 1]! <= EXTENDED &&
      length <= this.#options.maxPayload &&
      !this.#isFragmented &&
      !this.#isClosed &&
      this.#options.isOpen()
    )
  }

  /** Of a frame, header included; 0 where that cannot be told yet. */
  #frameLength(at: number, end: number): number {
    const memory = this.#memory
    if (end - at < SHORT_HEADER) return 0
    const masked = memory[at + 1]! & MASKED ? MASK : 0
    const length = memory[at + 1]! & LENGTH
    if (length < EXTENDED) return SHORT_HEADER + masked + length
    if (length === EXTENDED)
      return end - at < LONG_HEADER ? 0 : LONG_HEADER + masked + memory.readUInt16BE(at + SHORT_HEADER)
    if (end - at < LONGEST_HEADER) return 0
    return LONGEST_HEADER + masked + Number(memory.readBigUInt64BE(at + SHORT_HEADER))
  }

  /** What `ws` is given decides whether the next frame may be ours. */
  #note(first: number): void {
    const kind = first & KIND
    if (kind === CLOSE) this.#isClosed = true
    else if (kind < CLOSE) this.#isFragmented = (first & FINAL) === 0
  }

  /** @returns where the first frame begins, or `end` */
  #handshakeEnd(end: number): number {
    for (let at = 0; at < end; at++) {
      const byte = this.#memory[at]!
      if (byte === HANDSHAKE_END[this.#handshake]) this.#handshake += 1
      else this.#handshake = byte === HANDSHAKE_END[0] ? 1 : 0
      if (this.#handshake === HANDSHAKE_END.length) return at + 1
    }
    return end
  }

  #pass(from: number, to: number): boolean {
    return from === to || this.#options.pass(Buffer.from(this.#memory.subarray(from, to)))
  }
}

const FINAL = 0x80
const KIND = 0x0f
const CLOSE = 0x08
const WHOLE_TEXT = 0x81
const MASKED = 0x80
const MASK = 4
const LENGTH = 0x7f
/** The length follows in two bytes. */
const EXTENDED = 126
const SHORT_HEADER = 2
const LONG_HEADER = 4
const LONGEST_HEADER = 10
