/** Presigned URLs of S3: made here, without a request. */
import { SluiceError } from '../../../core/errors.ts'
import type { Presigned, PresignRequest } from '../store.ts'
import type { Connection } from './connection.ts'
import { sdkError } from './errors.ts'
import { loadPresigner } from './peer.ts'

export async function presign(
  component: string,
  { module, signer, bucket: Bucket }: Connection,
  request: PresignRequest,
): Promise<Presigned> {
  const { getSignedUrl } = await loadPresigner()
  const {
    key: Key,
    method,
    expiresAt,
    expiresInSeconds: expiresIn,
    contentType,
    contentDisposition,
    size,
  } = request
  // Expiry counts from when it was signed: by the clock that says when that is.
  const options = { expiresIn, signingDate: new Date(expiresAt.getTime() - expiresIn * 1_000) }
  try {
    if (method === 'GET') {
      const command = new module.GetObjectCommand({
        Bucket,
        Key,
        ...(contentType === undefined ? {} : { ResponseContentType: contentType }),
        ...(contentDisposition === undefined ? {} : { ResponseContentDisposition: contentDisposition }),
      })
      return { url: await getSignedUrl(signer as never, command, options), headers: {} }
    }
    const command = new module.PutObjectCommand({
      Bucket,
      Key,
      ...(contentType === undefined ? {} : { ContentType: contentType }),
      ...(size === undefined ? {} : { ContentLength: size }),
    })
    // Signed as headers: the service refuses an upload that sends others.
    const signed = [
      ...(contentType === undefined ? [] : ['content-type']),
      ...(size === undefined ? [] : ['content-length']),
    ]
    const url = await getSignedUrl(signer as never, command, {
      ...options,
      signableHeaders: new Set(['host', ...signed]),
    })
    return {
      url,
      headers: {
        ...(contentType === undefined ? {} : { 'content-type': contentType }),
        ...(size === undefined ? {} : { 'content-length': String(size) }),
      },
    }
  } catch (error) {
    if (error instanceof SluiceError) throw error
    throw sdkError(component, 'presign', error)
  }
}
