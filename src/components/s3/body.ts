/**
 * The body of a download, as it is handed out. What S3 leaves open is closed here: a body that ends early is an error, and
 * so is one of which nothing comes, or nothing is read, for a while: an unread body holds its socket for ever.
 *
 * It has a listener for its own errors, because a body that is given up while nobody reads it must not end the process.
 * Whoever reads it meets the error all the same.
 */
import { Readable } from 'node:stream'
import type { Clock, Timer } from '../../core/clock.ts'
import { SluiceError } from '../../core/errors.ts'

export interface BodyOptions {
  readonly component: string
  readonly source: Readable
  /** Bytes that must come. */
  readonly length: number
  readonly idleMs: number
  readonly clock: Clock
  readonly toError: (thrown: unknown) => Error
  /** Called once, when the source gives no more; `complete` when it gave all. */
  readonly onDone: (complete: boolean) => void
}

export class Body extends Readable {
  readonly #options: BodyOptions
  #received = 0
  #movedAt: number
  /** Whose turn it is. */
  #waitsFor: 'reader' | 'service' = 'reader'
  #timer: Timer | undefined
  #listening = false
  #isDone = false

  constructor(options: BodyOptions) {
    super({ highWaterMark: 64 * 1024 })
    this.#options = options
    const { clock, idleMs, source } = options
    this.#movedAt = clock.monotonic()
    this.#timer = clock.setTimer(() => this.#look(), idleMs)
    this.on('error', ignore)
    source.on('error', (error) => this.destroy(options.toError(error)))
  }

  override _read(): void {
    const { source, clock } = this.#options
    this.#waitsFor = 'service'
    this.#movedAt = clock.monotonic()
    if (this.#listening) {
      source.resume()
      return
    }
    this.#listening = true
    source.on('data', (chunk: Buffer) => this.#take(chunk))
    source.once('end', () => this.#end())
    source.once('close', () => {
      if (!source.readableEnded) this.#cut()
    })
    if (source.destroyed) this.#cut()
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#done(false)
    const { source } = this.#options
    if (!source.destroyed) source.destroy()
    callback(error)
  }

  #take(chunk: Buffer): void {
    this.#received += chunk.length
    this.#movedAt = this.#options.clock.monotonic()
    if (this.#received > this.#options.length) {
      this.#wrongLength()
    } else if (!this.push(chunk)) {
      this.#waitsFor = 'reader'
      this.#options.source.pause()
    }
  }

  #end(): void {
    if (this.#received !== this.#options.length) return this.#wrongLength()
    this.#done(true)
    this.push(null)
  }

  #cut(): void {
    if (this.#received === this.#options.length) this.#end()
    else this.#wrongLength()
  }

  #wrongLength(): void {
    const { component, length } = this.#options
    this.destroy(
      new SluiceError(
        'SLUICE_UNAVAILABLE',
        `${component}: the body ended after ${this.#received} of ${length} bytes`,
        { component, retryable: true },
      ),
    )
  }

  #look(): void {
    const { clock, idleMs, component } = this.#options
    const left = this.#movedAt + idleMs - clock.monotonic()
    if (left > 0) {
      this.#timer = clock.setTimer(() => this.#look(), left)
      return
    }
    const text =
      this.#waitsFor === 'service'
        ? `nothing came of a body for ${idleMs} ms`
        : `a body was not read for ${idleMs} ms, and was given up for those who wait for its connection`
    this.destroy(
      new SluiceError('SLUICE_TIMEOUT', `${component}: ${text}`, {
        component,
        retryable: this.#waitsFor === 'service',
        ...(this.#waitsFor === 'reader' && { hint: 'Read it to its end, or destroy it: `await using`.' }),
      }),
    )
  }

  #done(complete: boolean): void {
    if (this.#isDone) return
    this.#isDone = true
    this.#timer?.cancel()
    this.#options.onDone(complete)
  }
}

function ignore(): void {}
