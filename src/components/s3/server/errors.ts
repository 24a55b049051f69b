/**
 * What S3 or the network says, as one of our codes.
 *
 * The SDK's errors carry the response, and with it the request's headers: the key id and a signature that works for some
 * minutes. So the cause that is kept is a copy of what may be read by anybody.
 */
import { isSluiceError, SluiceError, toError, type ErrorCode } from '../../../core/errors.ts'

interface Reading {
  readonly code: ErrorCode
  readonly retryable?: boolean
  readonly hint?: string
}

const KEYS_HINT = 'Check S3_ACCESS_KEY_ID and S3_SECRET_ACCESS_KEY.'
const DAMAGED: Reading = {
  code: 'SLUICE_UNAVAILABLE',
  retryable: true,
  hint: 'Bytes were damaged on the way.',
}
const SLOW_DOWN: Reading = {
  code: 'SLUICE_OVERLOADED',
  retryable: true,
  hint: 'The service asks for fewer requests; lower S3_MAX_REQUESTS, or spread keys over prefixes.',
}

/** By the code of S3. */
const BY_CODE: Readonly<Record<string, Reading>> = {
  NoSuchKey: { code: 'SLUICE_NOT_FOUND' },
  NotFound: { code: 'SLUICE_NOT_FOUND' },
  NoSuchVersion: { code: 'SLUICE_NOT_FOUND' },
  NoSuchBucket: {
    code: 'SLUICE_UNAVAILABLE',
    retryable: true,
    hint: 'Create the bucket, or let it be made: S3_CREATE_BUCKET=true. It is looked for again.',
  },
  NoSuchUpload: {
    code: 'SLUICE_CONFLICT',
    hint: 'The upload in parts was aborted, by a sweep or a rule of the bucket.',
  },
  PreconditionFailed: { code: 'SLUICE_CONFLICT' },
  ConditionalRequestConflict: { code: 'SLUICE_CONFLICT', retryable: true },
  BucketAlreadyExists: { code: 'SLUICE_CONFLICT' },
  BucketAlreadyOwnedByYou: { code: 'SLUICE_CONFLICT' },
  OperationAborted: { code: 'SLUICE_CONFLICT', retryable: true },
  InvalidRange: { code: 'SLUICE_INVALID_ARGUMENT', hint: 'The range begins behind the end of the object.' },
  EntityTooLarge: { code: 'SLUICE_TOO_LARGE' },
  AccessDenied: {
    code: 'SLUICE_AUTH',
    hint: 'The key lacks a right; needed are s3:ListBucket, s3:GetObject, s3:PutObject, s3:DeleteObject and s3:AbortMultipartUpload.',
  },
  InvalidAccessKeyId: { code: 'SLUICE_AUTH', hint: KEYS_HINT },
  SignatureDoesNotMatch: { code: 'SLUICE_AUTH', hint: KEYS_HINT },
  ExpiredToken: { code: 'SLUICE_AUTH', retryable: true, hint: 'The temporary credentials are over.' },
  InvalidToken: { code: 'SLUICE_AUTH', hint: 'Check S3_SESSION_TOKEN.' },
  RequestTimeTooSkewed: {
    code: 'SLUICE_AUTH',
    retryable: true,
    hint: 'The clocks of this machine and of the service differ by more than 15 minutes.',
  },
  CredentialsProviderError: {
    code: 'SLUICE_AUTH',
    hint: 'No credentials were found; set S3_ACCESS_KEY_ID and S3_SECRET_ACCESS_KEY.',
  },
  PermanentRedirect: { code: 'SLUICE_CONFIG', hint: 'The bucket is in another region; set S3_REGION.' },
  AuthorizationHeaderMalformed: {
    code: 'SLUICE_CONFIG',
    hint: 'The bucket is in another region; set S3_REGION.',
  },
  SlowDown: SLOW_DOWN,
  ServiceUnavailable: SLOW_DOWN,
  Throttling: SLOW_DOWN,
  ThrottlingException: SLOW_DOWN,
  TooManyRequests: SLOW_DOWN,
  RequestLimitExceeded: SLOW_DOWN,
  RequestTimeout: { code: 'SLUICE_TIMEOUT', retryable: true },
  TimeoutError: { code: 'SLUICE_TIMEOUT', retryable: true },
  BadDigest: DAMAGED,
  IncompleteBody: DAMAGED,
  XAmzContentSHA256Mismatch: DAMAGED,
  InternalError: { code: 'SLUICE_UNAVAILABLE', retryable: true },
  NotImplemented: { code: 'SLUICE_UNSUPPORTED' },
  MethodNotAllowed: { code: 'SLUICE_UNSUPPORTED' },
}

const UNAVAILABLE: Reading = { code: 'SLUICE_UNAVAILABLE', retryable: true }

function byStatus(status: number | undefined): Reading {
  // The connection failed, or what came was no answer of S3.
  if (status === undefined) return UNAVAILABLE
  switch (status) {
    case 404:
      return { code: 'SLUICE_NOT_FOUND' }
    case 401:
    case 403:
      return { code: 'SLUICE_AUTH', hint: KEYS_HINT }
    case 409:
    case 412:
      return { code: 'SLUICE_CONFLICT' }
    case 413:
      return { code: 'SLUICE_TOO_LARGE' }
    case 416:
      return { code: 'SLUICE_INVALID_ARGUMENT', hint: 'The range begins behind the end of the object.' }
    case 429:
    case 503:
      return SLOW_DOWN
    case 501:
      return { code: 'SLUICE_UNSUPPORTED' }
    default:
      return status >= 400 && status < 500 ? { code: 'SLUICE_INVALID_ARGUMENT' } : UNAVAILABLE
  }
}

interface SdkError extends Error {
  readonly Code?: unknown
  readonly code?: unknown
  readonly $metadata?: { readonly httpStatusCode?: number; readonly requestId?: string }
}

/** Whatever a call of the SDK rejected with. `what`: what we were doing, for the message. */
export function sdkError(component: string, what: string, thrown: unknown): SluiceError {
  if (isSluiceError(thrown)) return thrown
  const error = toError(thrown) as SdkError
  const status = error.$metadata?.httpStatusCode
  const said = codeOf(error)
  const reading = (said === undefined ? undefined : BY_CODE[said]) ?? byStatus(status)
  const { code, retryable = false, hint } = reading
  return new SluiceError(code, `${component}: ${what}: ${textOf(error, said)}`, {
    component,
    retryable,
    cause: harmless(error),
    ...(hint === undefined ? {} : { hint }),
    details: {
      ...(said === undefined ? {} : { reply: said }),
      ...(status === undefined ? {} : { status }),
      ...(error.$metadata?.requestId === undefined ? {} : { requestId: error.$metadata.requestId }),
    },
  })
}

/** S3's own code of an error, or that of Node: `NoSuchKey`, `ECONNREFUSED`. */
export function codeOf(thrown: unknown): string | undefined {
  const error = thrown as SdkError | null | undefined
  for (const code of [error?.Code, error?.code, error?.name])
    if (typeof code === 'string' && code !== '' && code !== 'Error' && code !== 'Unknown') return code
  return undefined
}

function textOf(error: SdkError, code: string | undefined): string {
  const reasons = error instanceof AggregateError ? error.errors.map(toError) : [error]
  const text = reasons
    .map(({ message }) => message)
    .join('; ')
    // Addresses of requests hold signatures.
    .replaceAll(/\?\S*/g, '')
    .slice(0, 300)
  const isAnswer = error.$metadata?.httpStatusCode !== undefined
  if (text === '' || text === 'UnknownError')
    return code ?? `status ${error.$metadata?.httpStatusCode ?? 'unknown'}`
  return isAnswer && code !== undefined && !text.includes(code) ? `${code}: ${text}` : text
}

/** A copy with what is safe to show: name, text, stack. */
function harmless(error: SdkError): Error {
  const copy = new Error(textOf(error, codeOf(error)))
  copy.name = error.name
  // The first line of a stack repeats the text as it was.
  const frames = error.stack?.indexOf('\n    at ') ?? -1
  copy.stack = `${copy.name}: ${copy.message}${frames < 0 ? '' : error.stack!.slice(frames)}`
  return copy
}
