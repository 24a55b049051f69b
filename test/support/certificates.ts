/** Certificates that nobody but themselves vouches for, made by openssl. */
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** False, or why tests with certificates cannot run. */
export const noOpenssl = spawnSync('openssl', ['version']).status === 0 ? false : 'openssl is not installed'

/** Files. */
export interface Certificate extends AsyncDisposable {
  readonly key: string
  readonly cert: string
}

export interface CertificateOptions {
  /** Whom it names. */
  readonly host?: string
  readonly isExpired?: boolean
}

export function makeCertificate({
  host = 'localhost',
  isExpired = false,
}: CertificateOptions = {}): Certificate {
  const directory = mkdtempSync(join(tmpdir(), 'sluice-certificate-'))
  const [key, cert] = [join(directory, 'key.pem'), join(directory, 'cert.pem')]
  const request = 'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2'.split(' ')
  const name = ['-subj', `/CN=${host}`, '-addext', `subjectAltName=DNS:${host}`]
  const openssl = (...args: readonly string[]) => execFileSync('openssl', args, { stdio: 'ignore' })
  openssl(...request, ...name, '-keyout', key, '-out', cert)
  // Signed again with an end of yesterday, which `req` does not take.
  if (isExpired) openssl('x509', '-in', cert, '-signkey', key, '-days', '-1', '-out', cert)
  return { key, cert, [Symbol.asyncDispose]: () => rm(directory, { recursive: true, force: true }) }
}
