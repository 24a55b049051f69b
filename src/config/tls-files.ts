/** The files of TLS, read anew for each connection: whoever renews a certificate writes them while the process runs. */
import { readFileSync } from 'node:fs'
import { SluiceError, toError } from '../core/errors.ts'

/** Paths. */
export interface TlsFiles {
  readonly ca: string | undefined
  readonly cert: string | undefined
  readonly key: string | undefined
}

/** Options of `tls.connect`. @throws SluiceError SLUICE_UNAVAILABLE when one cannot be read; it may come. */
export function readTlsFiles(component: string, files: TlsFiles): Readonly<Record<string, string>> {
  const options: Record<string, string> = {}
  for (const [option, setting] of [
    ['ca', 'tlsCa'],
    ['cert', 'tlsCert'],
    ['key', 'tlsKey'],
  ] as const) {
    const path = files[option]
    if (path !== undefined) options[option] = read(component, setting, path)
  }
  return options
}

function read(component: string, setting: string, path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    const { code = 'unreadable' } = toError(error) as { readonly code?: string }
    throw new SluiceError('SLUICE_UNAVAILABLE', `${component}: ${setting}: cannot read ${path} (${code})`, {
      component,
      cause: error,
      retryable: true,
      hint: `Mount the file, or correct ${setting}.`,
    })
  }
}
