/** Ends uploads in parts that nobody will complete: their process was killed, and their parts are stored and paid for. */
import type { Send } from './connection.ts'
import type { UploadId } from './multipart.ts'

interface Uploads {
  readonly Uploads?: { Key?: string; UploadId?: string; Initiated?: Date }[]
  readonly IsTruncated?: boolean
  readonly NextKeyMarker?: string
  readonly NextUploadIdMarker?: string
}

export interface SweepParts {
  readonly send: Send
  readonly abort: (upload: UploadId, signal: AbortSignal) => Promise<boolean>
  readonly now: () => number
}

/** Resolves with how many. Those of other programs go too, where their keys begin alike. */
export async function sweepUploads(
  { send, abort, now }: SweepParts,
  olderThanMs: number,
  prefix: string,
  signal: AbortSignal,
): Promise<number> {
  const before = now() - olderThanMs
  let swept = 0
  let markers: object = {}
  for (;;) {
    const page = await send<Uploads>(
      'list uploads in parts',
      (sdk, Bucket) =>
        new sdk.ListMultipartUploadsCommand({ Bucket, ...(prefix !== '' && { Prefix: prefix }), ...markers }),
      signal,
    )
    for (const { Key, UploadId: id, Initiated } of page.Uploads ?? []) {
      if (Key === undefined || id === undefined || !Key.startsWith(prefix)) continue
      if (Initiated === undefined || Initiated.getTime() > before) continue
      if (await abort({ key: Key, id }, signal)) swept += 1
    }
    if (page.IsTruncated !== true) return swept
    markers = { KeyMarker: page.NextKeyMarker, UploadIdMarker: page.NextUploadIdMarker }
  }
}
