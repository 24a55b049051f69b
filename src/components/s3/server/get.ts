/** Opens an object for reading. */
import type { Readable } from 'node:stream'
import type { ByteRange } from '../object.ts'
import type { Opened } from '../store.ts'
import { infoOf, rangeHeader, spanOf, type Described } from './answers.ts'
import type { Send } from './connection.ts'

/**
 * The request has a controller of its own: it ends the connection also when the SDK has put a stream of its own around the
 * body, as it does to compare checksums, and which would leave the socket as it is.
 */
export async function openObject(
  key: string,
  range: ByteRange | undefined,
  signal: AbortSignal,
  send: Send,
): Promise<Opened> {
  const controller = new AbortController()
  const onAbort = (): void => controller.abort(signal.reason)
  signal.addEventListener('abort', onAbort, { once: true })
  if (signal.aborted) onAbort()
  try {
    const Range = rangeHeader(range)
    const answer = await send<Described & { Body?: Readable }>(
      'download',
      (sdk, Bucket) =>
        new sdk.GetObjectCommand({ Bucket, Key: key, ...(Range === undefined ? {} : { Range }) }),
      controller.signal,
    )
    const { offset, length, size } = spanOf(answer)
    return {
      info: infoOf(key, { ...answer, ContentLength: size }),
      offset,
      length,
      body: answer.Body!,
      cut: () => controller.abort(),
    }
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}
