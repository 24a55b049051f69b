/**
 * Addresses of databases. A DSN is a URL (`postgres://user:password@host:5432/name?sslmode=require`) or libpq's
 * key=value pairs (`host=db user=app password='a b' dbname=todo sslmode=disable`), which Go's drivers read as well;
 * both become one URL.
 */
import { field, right, wrong, type Defaulted, type Optional } from '../../config/fields.ts'
import { redactUrl } from '../../config/redact.ts'
import type { Field, Parsed } from '../../config/section.ts'
import { SluiceError } from '../../core/errors.ts'
import { modeOfEnvironment, tlsOfDsn, tlsOptions, type SslMode, type TlsOfDsn } from './tls.ts'

const EXPECTED = 'postgres://user:password@host:5432/name, or host=… user=… dbname=…'

export function dsn(options: Optional): Field<string | undefined>
export function dsn(options: Defaulted<string>): Field<string>
export function dsn(options: Optional | Defaulted<string>): Field<string | undefined> {
  return field(options, EXPECTED, parseDsn, { secrecy: 'url', show: redactUrl })
}

/** The DSN as a URL, or what was expected. */
export function parseDsn(raw: unknown): Parsed<string> {
  const address = parseAddress(raw)
  if (!address.ok) return address
  const tls = tlsOfDsn(address.value)
  return tls.ok ? address : tls
}

function parseAddress(raw: unknown): Parsed<string> {
  if (typeof raw !== 'string' || raw.trim() === '') return wrong(EXPECTED)
  const value = raw.trim()
  if (/^[a-z_]+\s*=/i.test(value)) return fromPairs(value)
  if (!/^postgres(ql)?:\/\/./i.test(value)) return wrong(EXPECTED)
  // An empty host means a socket given in the query, which the URL standard does not know.
  if (hasBarePassword(value)) return wrong(`${EXPECTED}; ${ENCODE}`)
  return URL.canParse(value) || /^\w+:\/\/[^/]*@\//.test(value) ? right(value) : wrong(EXPECTED)
}

const ENCODE = 'percent-encode # / ? @ in the password (# is %23)'

/** Does a password hold what ends the part of a URL that it stands in? */
function hasBarePassword(value: string): boolean {
  const [, authority = '', rest = ''] = /^\w+:\/\/([^/?#]*)([^]*)$/.exec(value) ?? []
  if (authority.includes('@') || !rest.includes('@')) return false
  // A URL that can be read may be misread: `postgres://app:12#3@db/todo` has the host `app` and the port 12.
  return !URL.canParse(value) || /^#|^\?[^=]*@|^\/[^?]*@[^?]*\//.test(rest)
}

const PAIR = /\s*([a-z_]+)\s*=\s*(?:'((?:[^'\\]|\\.)*)'|((?:[^\s\\]|\\.)*))/giy
const RENAMED: Readonly<Record<string, string>> = { timezone: 'TimeZone', fallback_application_name: '' }

function fromPairs(value: string): Parsed<string> {
  const pairs = new Map<string, string>()
  PAIR.lastIndex = 0
  let end = 0
  for (let match = PAIR.exec(value); match !== null; match = PAIR.exec(value)) {
    pairs.set((match[1] ?? '').toLowerCase(), (match[2] ?? match[3] ?? '').replace(/\\(.)/g, '$1'))
    end = PAIR.lastIndex
  }
  if (value.slice(end).trim() !== '') return wrong(EXPECTED)
  const {
    host = 'localhost',
    port = '5432',
    user = '',
    password = '',
    dbname = '',
    ...rest
  } = Object.fromEntries(pairs)
  const search = new URLSearchParams()
  for (const [key, each] of Object.entries(rest)) {
    const name = RENAMED[key] ?? key
    // What libpq passes on to the session goes there in `options`.
    if (name === 'TimeZone') search.set('options', `-c TimeZone=${each}`)
    else if (name !== '') search.set(name, each)
  }
  const socket = host.startsWith('/')
  if (socket) search.set('host', host)
  const credentials = `${encodeURIComponent(user)}${password === '' ? '' : `:${encodeURIComponent(password)}`}@`
  const at = socket ? `localhost:${port}` : host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
  const query = search.size === 0 ? '' : `?${search.toString().replaceAll('+', '%20')}`
  const url = `postgres://${user === '' ? '' : credentials}${at}/${encodeURIComponent(dbname)}${query}`
  return URL.canParse(url) ? right(url) : wrong(EXPECTED)
}

/** Where a database is: the address of a server that is not ours, or the embedded one's. */
export type Target =
  | { readonly dsn: string }
  | { readonly host: string; readonly port: number; readonly user: string; readonly database: string }

/** The same server, another database. */
export function withDatabase(target: Target, database: string): Target {
  if (!('dsn' in target)) return { ...target, database }
  const match = /^(\w+:\/\/[^/?#]*)(\/[^?#]*)?(.*)$/s.exec(target.dsn)
  if (match === null) throw new SluiceError('SLUICE_INVALID_ARGUMENT', `the DSN: expected ${EXPECTED}`)
  return { dsn: `${match[1]}/${encodeURIComponent(database)}${match[3]}` }
}

/** The mode that `target` is reached by; undefined is plaintext. */
export function sslModeOf(target: Target): SslMode | undefined {
  return 'dsn' in target ? readTls(target.dsn).mode : undefined
}

/** The settings of `pg`'s client. They hold the password. */
export function clientSettings(target: Target, applicationName: string): Readonly<Record<string, unknown>> {
  const common = { fallback_application_name: applicationName.slice(0, 63) }
  if (!('dsn' in target)) return { ...common, ...target, ssl: false }
  const { mode, files, direct, rest } = readTls(target.dsn)
  return {
    ...common,
    connectionString: rest,
    ssl: tlsOptions(mode, files),
    ...(direct ? { sslnegotiation: 'direct' } : {}),
  }
}

function readTls(dsn: string): TlsOfDsn {
  const parsed = tlsOfDsn(dsn)
  if (!parsed.ok) throw new SluiceError('SLUICE_INVALID_ARGUMENT', `the DSN: expected ${parsed.expected}`)
  // `pg` would take the variable by itself, and say nothing of no-verify.
  return { ...parsed.value, mode: parsed.value.mode ?? modeOfEnvironment(process.env['PGSSLMODE']) }
}
