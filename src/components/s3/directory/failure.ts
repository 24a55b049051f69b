/** What the file system says, as one of our codes. */
import { isSluiceError, SluiceError, toError } from '../../../core/errors.ts'

export function codeOf(error: unknown): string | undefined {
  const code = (error as { readonly code?: unknown } | null | undefined)?.code
  return typeof code === 'string' ? code : undefined
}

/** Errors of the file system; whatever else comes, such as that of a stream, stays as it is. */
export function fileError(component: string, what: string, thrown: unknown): unknown {
  const code = codeOf(thrown)
  if (isSluiceError(thrown) || !(thrown instanceof Error) || !('syscall' in thrown) || code === undefined)
    return thrown
  const text = `${component}: ${what}: ${toError(thrown).message}`
  if (code === 'ENOSPC' || code === 'EDQUOT')
    return new SluiceError('SLUICE_STORE_FULL', text, {
      component,
      cause: thrown,
      retryable: true,
      hint: 'Free space on its disk; the next attempt continues by itself.',
    })
  return new SluiceError('SLUICE_STORE_FAILED', text, {
    component,
    cause: thrown,
    retryable: code === 'EMFILE' || code === 'ENFILE',
    hint: 'The directory must be writable for the user of this process; or choose another one with S3_DIRECTORY.',
  })
}

export function notFound(component: string): SluiceError {
  return new SluiceError('SLUICE_NOT_FOUND', `${component}: there is no such object`, { component })
}
