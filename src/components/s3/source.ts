/**
 * The bytes of an upload, whatever they come from: one iterator that can be stopped while it waits, and gives up on a
 * stream that gives nothing. The stream is ours: stopping destroys it.
 */
import { Readable } from 'node:stream'
import type { Clock, Timer } from '../../core/clock.ts'
import { invalidArgument, SluiceError } from '../../core/errors.ts'
import type { ObjectBody } from './api.ts'

const EXPECTED = 'text, bytes or a stream of either'

/** Bytes that are at hand already; undefined where the body is a stream. @throws SluiceError SLUICE_INVALID_ARGUMENT */
export function bytesOf(body: ObjectBody): Uint8Array | undefined {
  if (typeof body === 'string') return Buffer.from(body)
  if (body instanceof Uint8Array) return body
  if (isStream(body)) return undefined
  throw invalidArgument('body', EXPECTED, describe(body))
}

/** A stream that fails before it is read must not end the process; whoever reads it meets the error all the same. */
export function adoptBody(body: unknown): void {
  if (body instanceof Readable) body.on('error', ignore)
}

/** Ends a stream that will not be read. */
export function dropBody(body: unknown, reason: unknown): void {
  if (body instanceof Readable) body.on('error', ignore).destroy(reason instanceof Error ? reason : undefined)
  else if (body instanceof ReadableStream && !body.locked) void body.cancel(reason).catch(ignore)
}

export interface SourceOptions {
  readonly clock: Clock
  /** Wait no longer than this for the next bytes. */
  readonly idleMs: number
  /** Of the upload. */
  readonly signal: AbortSignal
}

interface Wait {
  readonly resolve: (result: IteratorResult<Uint8Array>) => void
  readonly reject: (reason: unknown) => void
  readonly since: number
}

export class Source implements AsyncIterator<Uint8Array> {
  readonly #body: AsyncIterable<string | Uint8Array>
  readonly #iterator: AsyncIterator<string | Uint8Array>
  readonly #options: SourceOptions
  #wait: Wait | undefined
  #timer: Timer | undefined
  #ended = false
  readonly #onAbort = (): void => this.stop(this.#options.signal.reason)

  constructor(body: AsyncIterable<string | Uint8Array>, options: SourceOptions) {
    this.#body = body
    this.#options = options
    this.#iterator = body[Symbol.asyncIterator]()
    options.signal.addEventListener('abort', this.#onAbort, { once: true })
    if (options.signal.aborted) this.#onAbort()
  }

  next(): Promise<IteratorResult<Uint8Array>> {
    return new Promise((resolve, reject) => {
      if (this.#ended) {
        if (this.#options.signal.aborted) reject(this.#options.signal.reason as Error)
        else resolve({ done: true, value: undefined })
        return
      }
      const { clock } = this.#options
      const wait: Wait = { resolve, reject, since: clock.monotonic() }
      this.#wait = wait
      this.#timer ??= clock.setTimer(() => this.#look(), this.#options.idleMs)
      this.#iterator.next().then(
        (result) => this.#came(wait, result),
        (error: unknown) => this.#failed(wait, error),
      )
    })
  }

  /** Ends the stream; a wait for it rejects with `reason`. */
  stop(reason: unknown): void {
    if (this.#ended) return
    this.#end()
    this.#wait?.reject(reason)
    this.#wait = undefined
    dropBody(this.#body, reason)
    // A generator that waits takes this in only when its wait is over, so it is not waited for.
    void this.#iterator.return?.().catch(ignore)
  }

  #came(wait: Wait, result: IteratorResult<string | Uint8Array>): void {
    if (this.#wait !== wait) return
    this.#wait = undefined
    if (result.done === true) {
      this.#end()
      wait.resolve({ done: true, value: undefined })
      return
    }
    const { value } = result
    if (typeof value === 'string') wait.resolve({ done: false, value: Buffer.from(value) })
    else if (value instanceof Uint8Array) wait.resolve({ done: false, value })
    else {
      const error = invalidArgument('body', EXPECTED, `a stream of ${describe(value)}`)
      this.stop(error)
      wait.reject(error)
    }
  }

  #failed(wait: Wait, error: unknown): void {
    if (this.#wait !== wait) return
    this.#wait = undefined
    this.#end()
    wait.reject(error)
  }

  /** One timer for the whole stream, which looks at the wait of the moment. */
  #look(): void {
    this.#timer = undefined
    const { clock, idleMs } = this.#options
    if (this.#wait === undefined) return
    const left = this.#wait.since + idleMs - clock.monotonic()
    if (left > 0) {
      this.#timer = clock.setTimer(() => this.#look(), left)
      return
    }
    this.stop(
      new SluiceError('SLUICE_TIMEOUT', `the stream to upload gave nothing for ${idleMs} ms`, {
        hint: 'Raise idleTimeout (S3_IDLE_TIMEOUT) where this is its pace.',
      }),
    )
  }

  #end(): void {
    this.#ended = true
    this.#timer?.cancel()
    this.#timer = undefined
    this.#options.signal.removeEventListener('abort', this.#onAbort)
  }
}

function isStream(body: unknown): body is AsyncIterable<string | Uint8Array> {
  return typeof body === 'object' && body !== null && Symbol.asyncIterator in body
}

function describe(value: unknown): string {
  if (value === null) return 'null'
  return typeof value === 'object' ? (value.constructor?.name ?? 'object') : typeof value
}

function ignore(): void {}
