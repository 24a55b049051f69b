/** Uploads: one request for what is at hand and small, a transfer in parts for all else. */
import type { ComponentContext } from '../../app/component.ts'
import { deriveController, waitOrAbort } from '../../core/abort.ts'
import { AsyncResult } from '../../core/async-result.ts'
import { durationMs } from '../../core/duration.ts'
import { invalidArgument, SluiceError } from '../../core/errors.ts'
import { parseSize } from '../../config/size.ts'
import type { Operations, OperationSpec } from '../../telemetry/operate.ts'
import type { ObjectBody, UploadOptions } from './api.ts'
import type { Progress, StoredObject } from './object.ts'
import { checkAttributes } from './attributes.ts'
import type { Keys } from './keys.ts'
import type { S3Config } from './section.ts'
import { adoptBody, bytesOf, dropBody, Source } from './source.ts'
import type { ObjectStore, Put } from './store.ts'
import { sizedTimeoutMs } from './timeouts.ts'

const UPLOAD: OperationSpec = Object.freeze({ name: 'upload', idempotent: true })
/** Repeated, it would find its own object there. */
const UPLOAD_ONCE: OperationSpec = Object.freeze({ name: 'upload', idempotent: false })
const UPLOAD_STREAM: OperationSpec = Object.freeze({ name: 'uploadStream', idempotent: false })

const MIN_PART_BYTES = 5 * 1024 * 1024
const MAX_PART_BYTES = 5 * 1024 ** 3
const MAX_PARTS = 10_000
export interface UploadParts {
  readonly context: ComponentContext<S3Config>
  readonly store: ObjectStore
  /** One request each. */
  readonly operations: Operations
  /** Whole uploads in parts, of which each part is an operation by itself. */
  readonly transfers: Operations
}

export class Uploads {
  readonly #parts: UploadParts
  readonly #running = new Set<Promise<unknown>>()
  readonly #stop = new AbortController()
  #sent = 0

  constructor(parts: UploadParts) {
    this.#parts = parts
  }

  /** Uploads in parts that are under way, and what they have stored so far, with those that are over. */
  get facts(): Readonly<Record<string, number>> {
    const { transfers } = this.#parts
    return { running: this.#running.size, waiting: transfers.waiting, bytes: this.#sent }
  }

  /** Whatever is wrong with the arguments rejects; a stream is destroyed then. */
  upload(keys: Keys, key: string, body: ObjectBody, options: UploadOptions = {}): AsyncResult<StoredObject> {
    try {
      return this.#upload(key, body, options, keys)
    } catch (error) {
      dropBody(body, error)
      return AsyncResult.reject<StoredObject>(error)
    }
  }

  /** Ends those under way, with what they would leave behind. */
  async close(reason: Error, signal: AbortSignal): Promise<void> {
    this.#stop.abort(reason)
    await waitOrAbort(Promise.allSettled(this.#running), signal)
  }

  #upload(key: string, body: ObjectBody, options: UploadOptions, keys: Keys): AsyncResult<StoredObject> {
    const { context, store, operations } = this.#parts
    const put: Put = {
      key: keys.toStored(key),
      attributes: checkAttributes(options),
      ifAbsent: options.ifAbsent ?? false,
    }
    const size = checkSize(options.size)
    const partSize = checkPartSize(options.partSize, context.config.partSize, size)
    const bytes = bytesOf(body)
    const withKey = (stored: StoredObject): StoredObject => ({ ...stored, key })
    if (bytes === undefined || bytes.length > partSize)
      return this.#transfer(put, body, options, partSize, withKey)
    if (size !== undefined && size !== bytes.length)
      throw invalidArgument('size', `${bytes.length}, which is how many bytes there are`, size)
    const timeout = options.timeout ?? sizedTimeoutMs(context.config.requestTimeout, bytes.length)
    return operations.run(
      put.ifAbsent ? UPLOAD_ONCE : UPLOAD,
      async (call) => {
        const stored = await store.put(put, bytes, call.signal)
        this.#sent += bytes.length
        report(options, { bytes: bytes.length, total: bytes.length })
        return withKey(stored)
      },
      { ...options, timeout },
    )
  }

  #transfer(
    put: Put,
    body: ObjectBody,
    options: UploadOptions,
    partSize: number,
    withKey: (stored: StoredObject) => StoredObject,
  ): AsyncResult<StoredObject> {
    const { context, store, transfers } = this.#parts
    const { config, clock } = context
    const idleMs =
      options.idleTimeout === undefined ? config.idleTimeout : durationMs(options.idleTimeout, 'idleTimeout')
    const partConcurrency = checkConcurrency(options.partConcurrency ?? config.partConcurrency)
    const whole = bytesOf(body)
    adoptBody(body)
    const size = options.size ?? whole?.length
    let began = false
    const result = transfers.run(
      UPLOAD_STREAM,
      (call) => {
        began = true
        const { controller, release } = deriveController(call.signal, this.#stop.signal)
        const { signal } = controller
        const source = new Source(
          whole === undefined ? (body as AsyncIterable<Uint8Array>) : slicesOf(whole),
          {
            clock,
            idleMs,
            signal,
          },
        )
        let reported = 0
        const work = store
          .transfer(
            {
              ...put,
              source,
              size,
              partSize,
              partConcurrency,
              onProgress: (progress) => {
                this.#sent += progress.bytes - reported
                reported = progress.bytes
                report(options, progress)
              },
            },
            signal,
          )
          .then(withKey, (error: unknown) => {
            source.stop(error)
            throw error
          })
        this.#track(work.finally(release))
        return work
      },
      options,
    )
    // Refused, or given up in the queue: nobody will read it.
    result.then(undefined, (error: unknown) => {
      if (!began) dropBody(body, error)
    })
    return result
  }

  #track(work: Promise<unknown>): void {
    const settled = work.then(
      () => undefined,
      () => undefined,
    )
    this.#running.add(settled)
    void settled.then(() => this.#running.delete(settled))
  }
}

async function* slicesOf(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}

/** The callback is foreign code. */
function report(options: UploadOptions, progress: Progress): void {
  try {
    options.onProgress?.(progress)
  } catch {
    // An upload does not fail because somebody could not show how far it is.
  }
}

function checkSize(size: number | undefined): number | undefined {
  if (size === undefined || (Number.isSafeInteger(size) && size >= 0)) return size
  throw invalidArgument('size', 'a whole number of bytes', size)
}

/** As large as it must be for a known size. */
function checkPartSize(given: number | string | undefined, base: number, size = 0): number {
  const wanted = given === undefined ? base : parseSize(given)
  if (wanted === undefined || wanted < MIN_PART_BYTES || wanted > MAX_PART_BYTES)
    throw invalidArgument('partSize', 'a size from 5mb to 5gb', given)
  const needed = Math.ceil(size / MAX_PARTS)
  if (needed > MAX_PART_BYTES)
    throw new SluiceError(
      'SLUICE_TOO_LARGE',
      `size: ${MAX_PARTS} parts of 5 GB are the most, and ${size} bytes are more`,
    )
  return Math.max(wanted, needed)
}

function checkConcurrency(value: number): number {
  if (Number.isInteger(value) && value >= 1 && value <= 100) return value
  throw invalidArgument('partConcurrency', 'a whole number from 1 to 100', value)
}
