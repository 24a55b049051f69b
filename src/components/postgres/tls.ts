/**
 * TLS of a DSN, as `pg` is told it: an object of options, so that no mode means something else in its next version.
 *
 * `require`, `verify-ca` and `verify-full` all verify the certificate and the host's name. `prefer` and `allow` are
 * refused: they promise nothing, since whoever is on the way to the server chooses plaintext for both.
 */
import { readFileSync } from 'node:fs'
import { nearest } from '../../config/nearest.ts'
import { right, wrong } from '../../config/fields.ts'
import type { Parsed } from '../../config/section.ts'
import { SluiceError, toError } from '../../core/errors.ts'

export const SSL_MODES = ['disable', 'require', 'verify-ca', 'verify-full', 'no-verify'] as const

export type SslMode = (typeof SSL_MODES)[number]

/** What a DSN says of TLS, and the DSN without it. */
export interface TlsOfDsn {
  readonly mode: SslMode | undefined
  readonly files: Readonly<Partial<Record<'ca' | 'cert' | 'key', string>>>
  readonly direct: boolean
  readonly rest: string
}

const FILES = { sslrootcert: 'ca', sslcert: 'cert', sslkey: 'key' } as const
const SSL: Readonly<Record<string, SslMode>> = {
  true: 'verify-full',
  '1': 'verify-full',
  false: 'disable',
  '0': 'disable',
  'no-verify': 'no-verify',
}

/** Reads the query of a URL; names count without case and underlines: a wrong `SSL_MODE` would mean plaintext. */
export function tlsOfDsn(dsn: string): Parsed<TlsOfDsn> {
  const [, base = dsn, query = '', hash = ''] = /^([^?#]*)(?:\?([^#]*))?(#.*)?$/s.exec(dsn) ?? []
  const files: Partial<Record<'ca' | 'cert' | 'key', string>> = {}
  const others: string[] = []
  let mode: SslMode | undefined
  let direct = false
  for (const part of query === '' ? [] : query.split('&')) {
    const [[key, value] = ['', '']] = [...new URLSearchParams(part)]
    const name = key.toLowerCase().replaceAll(/[_-]/g, '')
    if (name === 'sslmode' || name === 'ssl') {
      const word = value.trim().toLowerCase()
      const meant =
        name === 'ssl' && Object.hasOwn(SSL, word) ? SSL[word] : SSL_MODES.find((each) => each === word)
      if (meant === undefined) return wrong(expectedMode(word))
      mode = meant
    } else if (name === 'sslnegotiation') {
      if (value !== 'direct' && value !== 'postgres') return wrong('sslnegotiation postgres or direct')
      direct = value === 'direct'
    } else if (Object.hasOwn(FILES, name)) {
      // libpq's word for the authorities that the machine trusts.
      if (value !== '' && value !== 'system') files[FILES[name as keyof typeof FILES]] = value
      mode ??= value === '' ? undefined : 'verify-full'
    } else if (name !== 'uselibpqcompat') others.push(part)
  }
  if (direct && mode === 'disable') return wrong('no sslmode=disable with sslnegotiation=direct')
  if (direct) mode ??= 'verify-full'
  return right({
    mode,
    files,
    direct,
    rest: `${base}${others.length === 0 ? '' : `?${others.join('&')}`}${hash}`,
  })
}

function expectedMode(word: string): string {
  const list = `sslmode ${SSL_MODES.slice(0, -1).join(', ')} or ${SSL_MODES.at(-1)}`
  if (word === 'prefer' || word === 'allow')
    return `${list}; ${word} may be plaintext: choose verify-full or disable`
  const near = nearest(word, SSL_MODES)
  return near === undefined ? list : `${list}; did you mean ${near}?`
}

/** The mode of a DSN that has none, from the environment, as `pg` and libpq take it. */
export function modeOfEnvironment(value: string | undefined): SslMode | undefined {
  return value === 'prefer' ? 'verify-full' : SSL_MODES.find((each) => each === value)
}

/** `ssl` of `pg`'s client. @throws SluiceError SLUICE_UNAVAILABLE when a file cannot be read; it may come. */
export function tlsOptions(
  mode: SslMode | undefined,
  files: TlsOfDsn['files'],
): false | Record<string, unknown> {
  if (mode === undefined || mode === 'disable') return false
  const options: Record<string, unknown> = { rejectUnauthorized: mode !== 'no-verify' }
  for (const [option, path] of Object.entries(files))
    options[option] = read(option as keyof typeof files, path)
  return options
}

function read(option: 'ca' | 'cert' | 'key', path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    const name = option === 'ca' ? 'sslrootcert' : `ssl${option}`
    const { code = 'unreadable' } = toError(error) as { readonly code?: string }
    throw new SluiceError('SLUICE_UNAVAILABLE', `${name} of the DSN: cannot read ${path} (${code})`, {
      cause: error,
      retryable: true,
      hint: `Mount the file, or correct ${name} of the DSN.`,
    })
  }
}
