/**
 * An upload in parts: begun, parts sent some at a time, completed; or aborted, so that no part stays behind and is paid for.
 *
 *     begin ──▶ read a part ─▶ send ─┬─▶ complete ──▶ done
 *                 ▲ a free buffer ◀──┘       │ failed: was it done all the same?
 *     any failure, abort or close: end the requests, wait for them, abort
 *
 * - There are `partConcurrency + 1` buffers of a part each, used again and again: memory does not go with the length.
 * - Parts may still arrive while the upload is aborted, and would stay. So the requests end first.
 * - The begin is not aborted with its caller: an upload whose name did not arrive could not be aborted either.
 * - What cannot be aborted now, as the service is away, is remembered and aborted when it is back (left-behind.ts).
 * - A completion whose answer is lost may have happened. The service then knows the upload no more, and the object's ETag
 *   is the one that its parts make.
 */
import { createHash } from 'node:crypto'
import { deriveController } from '../../../core/abort.ts'
import { hasCode, isSluiceError, SluiceError, toError } from '../../../core/errors.ts'
import type { StoredObject } from '../object.ts'
import { PartReader } from '../part-reader.ts'
import type { Transfer } from '../store.ts'

export const MAX_PARTS = 10_000

export interface SentPart {
  readonly number: number
  readonly etag: string
  readonly checksum: string | undefined
}

/** The requests of an upload in parts; each with its deadline and its retries. */
export interface MultipartRequests {
  putWhole(transfer: Transfer, bytes: Uint8Array, signal: AbortSignal): Promise<StoredObject>
  begin(transfer: Transfer, signal: AbortSignal): Promise<string>
  sendPart(upload: UploadId, number: number, bytes: Uint8Array, signal: AbortSignal): Promise<SentPart>
  /** `isDone` is asked when the service does not know the upload: then an earlier attempt may have completed it. */
  complete(
    upload: UploadId,
    parts: readonly SentPart[],
    transfer: Transfer,
    signal: AbortSignal,
  ): Promise<string>
  /** Of the object that is there now; undefined where none is. */
  etag(key: string, signal: AbortSignal): Promise<string | undefined>
  /** Never rejects. False where the service does not know the upload any more. */
  discard(upload: UploadId): Promise<boolean>
}

export interface UploadId {
  readonly key: string
  readonly id: string
}

export async function sendInParts(
  requests: MultipartRequests,
  transfer: Transfer,
  signal: AbortSignal,
): Promise<StoredObject> {
  const { key, source, partSize, size, onProgress } = transfer
  const reader = new PartReader(source, partSize, size)
  const first = await reader.read()
  if (reader.ended) {
    const stored = await requests.putWhole(transfer, first, signal)
    onProgress({ bytes: first.length, total: first.length })
    return stored
  }
  const upload: UploadId = { key, id: await requests.begin(transfer, signal) }
  const { controller, release } = deriveController(signal)
  const sending = new Sending(requests, upload, transfer, controller)
  try {
    await sending.all(reader, first)
    return {
      key,
      size: sending.bytes,
      etag: await complete(requests, upload, sending.parts, transfer, signal),
    }
  } catch (error) {
    controller.abort(error)
    await sending.settled()
    await requests.discard(upload)
    throw error
  } finally {
    release()
  }
}

/** The parts of one upload that are under way. */
class Sending {
  readonly #requests: MultipartRequests
  readonly #upload: UploadId
  readonly #transfer: Transfer
  readonly #controller: AbortController
  readonly #underWay = new Set<Promise<void>>()
  readonly #free: Buffer[] = []
  readonly parts: SentPart[] = []
  bytes = 0
  /** Made so far: the first is the reader's own. */
  #buffers = 1

  constructor(
    requests: MultipartRequests,
    upload: UploadId,
    transfer: Transfer,
    controller: AbortController,
  ) {
    this.#requests = requests
    this.#upload = upload
    this.#transfer = transfer
    this.#controller = controller
  }

  async all(reader: PartReader, first: Buffer): Promise<void> {
    const { signal } = this.#controller
    const { partSize, partConcurrency } = this.#transfer
    this.#start(1, first)
    for (let number = 2; !reader.ended; number++) {
      if (number > MAX_PARTS) throw tooManyParts(partSize)
      while (this.#free.length === 0 && this.#buffers > partConcurrency) await Promise.race(this.#underWay)
      signal.throwIfAborted()
      const part = await reader.read(this.#buffer())
      while (this.#underWay.size >= partConcurrency) await Promise.race(this.#underWay)
      signal.throwIfAborted()
      this.#start(number, part)
    }
    while (this.#underWay.size > 0) await Promise.race(this.#underWay)
    signal.throwIfAborted()
    this.parts.sort((a, b) => a.number - b.number)
  }

  /** Resolves when no request is under way any more. */
  async settled(): Promise<void> {
    await Promise.all(this.#underWay)
  }

  #start(number: number, bytes: Buffer): void {
    const sent = this.#send(number, bytes).finally(() => this.#underWay.delete(sent))
    this.#underWay.add(sent)
  }

  /** Never rejects: a failure ends the whole upload, by its signal. */
  async #send(number: number, bytes: Buffer): Promise<void> {
    try {
      this.parts.push(await this.#requests.sendPart(this.#upload, number, bytes, this.#controller.signal))
      this.bytes += bytes.length
      this.#transfer.onProgress({ bytes: this.bytes, total: this.#transfer.size })
      this.#free.push(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.buffer.byteLength - bytes.byteOffset))
    } catch (error) {
      this.#controller.abort(error)
      // Whoever waits for the next bytes hears of it now.
      this.#transfer.source.stop(error)
    }
  }

  /** One of those that are free again, or another one. */
  #buffer(): Buffer {
    const free = this.#free.pop()
    if (free !== undefined) return free
    this.#buffers += 1
    return Buffer.allocUnsafeSlow(this.#transfer.partSize)
  }
}

async function complete(
  requests: MultipartRequests,
  upload: UploadId,
  parts: readonly SentPart[],
  transfer: Transfer,
  signal: AbortSignal,
): Promise<string> {
  const expected = etagOf(parts)
  try {
    return await requests.complete(upload, parts, transfer, signal)
  } catch (error) {
    // Refused for good: it did not happen.
    if (signal.aborted || !(hasCode(error, 'SLUICE_CONFLICT') || (isSluiceError(error) && error.retryable)))
      throw error
    if (await requests.discard(upload)) throw error
    const found = await requests.etag(upload.key, signal).catch(() => undefined)
    if (expected !== undefined && found === expected) return found
    throw new SluiceError(
      'SLUICE_OUTCOME_UNKNOWN',
      `the answer to the completion of an upload was lost, and the upload is gone: ${toError(error).message}`,
      { cause: error, hint: 'Look with head() whether the object is there.' },
    )
  }
}

/** The ETag of an object in parts, where those of the parts are MD5 sums, as they are without a key of KMS. */
function etagOf(parts: readonly SentPart[]): string | undefined {
  const sums = parts.map(({ etag }) => /^"?([0-9a-f]{32})"?$/.exec(etag)?.[1])
  if (sums.includes(undefined)) return undefined
  const hash = createHash('md5')
  for (const sum of sums) hash.update(sum!, 'hex')
  return `${hash.digest('hex')}-${parts.length}`
}

function tooManyParts(partSize: number): SluiceError {
  return new SluiceError(
    'SLUICE_TOO_LARGE',
    `the stream is longer than ${MAX_PARTS} parts of ${partSize} bytes`,
    { hint: 'Say its `size`, or raise partSize (S3_PART_SIZE).' },
  )
}
