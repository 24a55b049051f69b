/** An object that is being read: what is known of it, and its bytes. */
import type { Readable } from 'node:stream'
import { SluiceError } from '../../core/errors.ts'
import { parseSize } from '../../config/size.ts'
import { invalidArgument } from '../../core/errors.ts'
import type { ObjectInfo } from './object.ts'

const MAX_BYTES = 64 * 1024 * 1024

export interface CollectOptions {
  /** More is refused with SLUICE_TOO_LARGE. @default '64mb' */
  readonly maxBytes?: number | string
}

export interface DownloadParts {
  readonly info: ObjectInfo
  readonly offset: number
  readonly length: number
  readonly body: Readable
}

export class Download implements AsyncDisposable {
  /** Of the whole object, also where a range was asked for. */
  readonly info: ObjectInfo
  /** Where in the object the body begins. */
  readonly offset: number
  /** Bytes of the body. */
  readonly length: number
  /** Read it, pipe it or destroy it. */
  readonly body: Readable

  constructor({ info, offset, length, body }: DownloadParts) {
    this.info = info
    this.offset = offset
    this.length = length
    this.body = body
  }

  get key(): string {
    return this.info.key
  }

  /** All of the body, in memory. */
  async bytes(options: CollectOptions = {}): Promise<Buffer> {
    const { maxBytes = MAX_BYTES } = options
    const limit = parseSize(maxBytes)
    if (limit === undefined) throw invalidArgument('maxBytes', "a size such as '64mb'", maxBytes)
    if (this.length > limit) {
      this.destroy()
      throw new SluiceError(
        'SLUICE_TOO_LARGE',
        `the body has ${this.length} bytes, and ${limit} are allowed`,
        {
          hint: 'Read `body` as a stream, or raise maxBytes.',
          details: { length: this.length, limit },
        },
      )
    }
    return collect(this.body)
  }

  /** All of the body, as UTF-8. */
  async text(options?: CollectOptions): Promise<string> {
    return (await this.bytes(options)).toString('utf8')
  }

  /** All of the body, parsed. What is in it is not checked. */
  async json(options?: CollectOptions): Promise<unknown> {
    return JSON.parse(await this.text(options))
  }

  /** Ends the transfer; its connection is for others then. */
  destroy(reason?: Error): void {
    this.body.destroy(reason)
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.destroy()
    return Promise.resolve()
  }
}

/** By events: an async iterator takes a few turns more for each chunk. */
function collect(body: Readable): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    body.on('data', (chunk: Buffer) => chunks.push(chunk))
    body.once('end', () => resolve(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)))
    body.once('error', reject)
    body.once('close', () => {
      if (!body.readableEnded)
        reject(new SluiceError('SLUICE_CANCELLED', 'the body was destroyed before its end'))
    })
    if (body.errored) reject(body.errored)
    else if (body.destroyed || body.readableEnded)
      reject(new SluiceError('SLUICE_CLOSED', 'the body was read or destroyed already'))
  })
}
