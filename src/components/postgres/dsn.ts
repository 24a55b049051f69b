/**
 * Addresses of databases. A DSN is a URL (`postgres://user:password@host:5432/name?sslmode=require`) or libpq's
 * key=value pairs (`host=db user=app password='a b' dbname=todo sslmode=disable`), which Go's drivers read as well;
 * both become one URL.
 */
import { field, wrong, type Defaulted, type Optional } from '../../config/fields.ts'
import { redactUrl } from '../../config/redact.ts'
import type { Field, Parsed } from '../../config/section.ts'
import { SluiceError } from '../../core/errors.ts'
import { ONE_HOST, readParameters, type Parameters } from './dsn-parameters.ts'
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
  if (/^\w+\s*=\s*["']?postgres(ql)?:/i.test(value)) return wrong('the address alone, without name and =')
  if (/^[a-z_]+\s*=/i.test(value)) return fromPairs(value)
  if (!/^postgres(ql)?:\/\/./i.test(value)) return wrong(EXPECTED)
  return fromUrl(value)
}

function fromUrl(value: string): Parsed<string> {
  if (hasBarePassword(value)) return wrong(`${EXPECTED}; ${ENCODE}`)
  const [, start = value, query = '', hash = ''] = /^([^?#]*)(?:\?([^#]*))?(#.*)?$/s.exec(value) ?? []
  const [, authority = ''] = /^\w+:\/\/([^/]*)/.exec(start) ?? []
  if (authority.slice(authority.lastIndexOf('@') + 1).includes(',')) return wrong(ONE_HOST)
  // An empty host means a socket given in the query, which the URL standard does not know.
  if (!URL.canParse(value) && !/^\w+:\/\/[^/]*@\//.test(value)) return wrong(EXPECTED)
  const written = [...new URLSearchParams(query)]
  const parameters = readParameters(written)
  if (!parameters.ok) return parameters
  const names = parameters.value.map(([name]) => name)
  if (names.includes('dbname')) return wrong('the name of the database as the path: postgres://host/name')
  if (names.includes('hostaddr')) return wrong('the address as the host: postgres://10.0.0.9/name')
  // As it was written, unless something of it was left out or renamed.
  const same = JSON.stringify(parameters.value) === JSON.stringify(written)
  return { ...parameters, value: same ? value : `${start}${toQuery(parameters.value)}${hash}` }
}

function toQuery(parameters: Parameters): string {
  const search = parameters.map(([name, value]) => `${name}=${encodeURIComponent(value)}`)
  return search.length === 0 ? '' : `?${search.join('&')}`
}

const ENCODE = 'percent-encode # / ? @ in the password (# is %23)'

/** Does a password hold what ends the part of a URL that it stands in? */
function hasBarePassword(value: string): boolean {
  const [, authority = '', rest = ''] = /^\w+:\/\/([^/?#]*)([^]*)$/.exec(value) ?? []
  if (authority.includes('@') || !rest.includes('@')) return false
  // A URL that can be read may be misread: `postgres://app:12#3@db/todo` has the host `app` and the port 12.
  return !URL.canParse(value) || /^#|^\?[^=]*@|^\/[^?]*@[^?]*\//.test(rest)
}

const PAIR = /\s*([a-z_]+)\s*=\s*(?:'((?:[^'\\]|\\.)*)'|((?!')(?:[^\s\\]|\\.)*))/giy

/** The pairs of other drivers, which would be one long value here: `Server=db;Password=x`. */
const SEMICOLON = /;\s*(?:server|host|port|user|uid|pwd|pass|database|dbname|db|data source|ssl)[\w ]*=/i

function fromPairs(value: string): Parsed<string> {
  const pairs = new Map<string, string>()
  PAIR.lastIndex = 0
  let end = 0
  for (let match = PAIR.exec(value); match !== null; match = PAIR.exec(value)) {
    if (SEMICOLON.test(match[3] ?? '')) return wrong('pairs with blanks between them, not ;')
    pairs.set((match[1] ?? '').toLowerCase(), (match[2] ?? match[3] ?? '').replace(/\\(.)/g, '$1'))
    end = PAIR.lastIndex
  }
  if (value.slice(end).trim() !== '') return wrong(EXPECTED)
  const parameters = readParameters([...pairs])
  if (!parameters.ok) return parameters
  const {
    hostaddr,
    port = '5432',
    user = '',
    password = '',
    dbname = '',
    ...rest
  } = Object.fromEntries(parameters.value)
  if (hostaddr !== undefined && rest['host'] !== undefined) return wrong('host or hostaddr, not both')
  const { host = hostaddr ?? 'localhost', ...others } = rest
  const socket = host.startsWith('/')
  const query = toQuery([...Object.entries(others), ...(socket ? [['host', host] as const] : [])])
  const credentials = `${encodeURIComponent(user)}${password === '' ? '' : `:${encodeURIComponent(password)}`}@`
  const at = socket ? `localhost:${port}` : host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
  const url = `postgres://${user === '' ? '' : credentials}${at}/${encodeURIComponent(dbname)}${query}`
  return URL.canParse(url) ? { ...parameters, value: url } : wrong(EXPECTED)
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
