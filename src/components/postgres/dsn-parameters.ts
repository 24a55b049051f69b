/**
 * The parameters of a DSN, in a URL's query or as key=value pairs: which there are, and what becomes of each. One that
 * nobody knows is a fault, because a server or a password would be passed over without a word. Of those that libpq
 * knows and that have no effect here, one that says which server is meant or how it is trusted is a fault as well, and
 * any other a warning; both only where its value asks for more than happens anyhow.
 */
import { wrong } from '../../config/fields.ts'
import { nearest } from '../../config/nearest.ts'
import type { Parsed } from '../../config/section.ts'

/** Names and values in the order written, decoded. */
export type Parameters = readonly (readonly [name: string, value: string])[]

/** Where a server is and how it is reached; `tls.ts` reads those of TLS. */
const TAKEN = [
  'host',
  'hostaddr',
  'port',
  'user',
  'password',
  'dbname',
  'options',
  'application_name',
  'fallback_application_name',
  'statement_timeout',
  'lock_timeout',
  'idle_in_transaction_session_timeout',
  'sslmode',
  'ssl',
  'sslnegotiation',
  'sslrootcert',
  'sslcert',
  'sslkey',
  'uselibpqcompat',
] as const

/** Settings of the session, which other drivers take as parameters; they travel in `options`. */
const SESSION: Readonly<Record<string, string>> = {
  timezone: 'TimeZone',
  datestyle: 'DateStyle',
  search_path: 'search_path',
}

/** Without effect, and harmless: what to know instead. */
const IGNORED: Readonly<Record<string, string>> = {
  connect_timeout: 'POSTGRES_CONNECT_TIMEOUT sets that limit',
  query_timeout: 'POSTGRES_QUERY_TIMEOUT sets that limit',
  client_encoding: 'it is always UTF8',
  keepalives: 'connections are always kept alive',
  keepalives_idle: 'connections are always kept alive',
  keepalives_interval: 'connections are always kept alive',
  keepalives_count: 'connections are always kept alive',
  tcp_user_timeout: 'POSTGRES_QUERY_TIMEOUT finds a server that is gone',
  load_balance_hosts: 'there is one host',
  sslcompression: 'nothing is compressed',
  sslsni: 'the name of the host is always sent',
  sslkeylogfile: 'keys are never written',
  min_protocol_version: 'it is always 3.0',
  max_protocol_version: 'it is always 3.0',
  krbsrvname: 'there is no GSSAPI',
  gsslib: 'there is no GSSAPI',
  gssdelegation: 'there is no GSSAPI',
}

/** Without effect, and it would be missed. */
const REFUSED = [
  'channel_binding',
  'gssencmode',
  'oauth_client_id',
  'oauth_client_secret',
  'oauth_issuer',
  'oauth_scope',
  'passfile',
  'replication',
  'require_auth',
  'requirepeer',
  'requiressl',
  'scram_client_key',
  'scram_server_key',
  'service',
  'servicefile',
  'ssl_max_protocol_version',
  'ssl_min_protocol_version',
  'sslcertmode',
  'sslcrl',
  'sslcrldir',
  'sslpassword',
  'target_session_attrs',
] as const

/** Values that ask for what happens anyhow. */
const HARMLESS: Readonly<Record<string, RegExp>> = {
  channel_binding: /^(disable|prefer)$/,
  client_encoding: /^(auto|utf-?8)$/i,
  gssencmode: /^(disable|prefer)$/,
  keepalives: /^1$/,
  load_balance_hosts: /^disable$/,
  replication: /^(false|off|no|0)$/,
  requiressl: /^0$/,
  ssl_min_protocol_version: /^TLSv1(\.[0-2])?$/i,
  sslcertmode: /^(allow|disable)$/,
  sslcompression: /^0$/,
  sslsni: /^1$/,
  target_session_attrs: /^any$/,
}

/** Names of other drivers. */
const FOREIGN: Readonly<Record<string, string>> = {
  currentschema: 'search_path',
  database: 'dbname',
  databasename: 'dbname',
  db: 'dbname',
  pwd: 'password',
  schema: 'search_path',
  server: 'host',
  uid: 'user',
  username: 'user',
}

const KNOWN = [...TAKEN, ...Object.keys(SESSION), ...Object.keys(IGNORED), ...REFUSED]

/** Those that take effect, session settings joined into `options`; or what was expected. */
export function readParameters(given: Parameters): Parsed<Parameters> {
  const kept: (readonly [string, string])[] = []
  const warnings: string[] = []
  const options: string[] = []
  for (const [index, [written, value]] of given.entries()) {
    const name = nameOf(written)
    if (name === undefined) return wrong(unknownName(written, given.slice(0, index)))
    if (Object.hasOwn(SESSION, name)) options.push(`-c ${SESSION[name]}=${escaped(value)}`)
    else if (name === 'options') options.push(value)
    else if (isOneOf(TAKEN, name)) kept.push([name, value])
    else if (value === '' || HARMLESS[name]?.test(value.trim()) === true) continue
    else if (name === 'channel_binding' && isVerified(given))
      warnings.push('channel_binding is not required; the certificate and the name of the host are verified')
    else if (isOneOf(REFUSED, name)) return wrong(`no ${name}, which has no effect here`)
    else warnings.push(`${name} has no effect; ${IGNORED[name]}`)
  }
  const severalHosts = kept.some(([name, value]) => /^(host(addr)?|port)$/.test(name) && value.includes(','))
  if (severalHosts) return wrong(ONE_HOST)
  if (options.length > 0) kept.push(['options', options.join(' ')])
  return { ok: true, value: kept, warnings }
}

export const ONE_HOST = 'one host; several are not supported'

/** Names of TLS count without underlines: a wrong `SSL_MODE` would mean plaintext. */
function nameOf(written: string): string | undefined {
  if (isOneOf(KNOWN, written)) return written
  const plain = written.toLowerCase().replaceAll(/[_-]/g, '')
  if (plain === 'timezone' || plain === 'datestyle') return plain
  return plain.startsWith('ssl') && isOneOf(TAKEN, plain) ? plain : undefined
}

function unknownName(written: string, before: Parameters): string {
  const plain = written.toLowerCase().replaceAll(/[^a-z]/g, '')
  const near = Object.hasOwn(FOREIGN, plain) ? FOREIGN[plain] : nearest(written, KNOWN)
  if (near !== undefined) return `known parameters; did you mean ${near} for ${written}?`
  // Behind a password it may be the rest of it, after a blank or & that was not escaped.
  const name = before.some(([each]) => each === 'password') ? '' : `, not ${JSON.stringify(written)}`
  return `known parameters such as host, port, user, password, dbname, sslmode${name}`
}

function isVerified(given: Parameters): boolean {
  return given.some(([name, value]) => nameOf(name) === 'sslmode' && /^(require|verify-)/.test(value.trim()))
}

/** `options` are words, separated by blanks. */
function escaped(value: string): string {
  return value.replaceAll(/[\\\s]/g, String.raw`\$&`)
}

function isOneOf(names: readonly string[], name: string): boolean {
  return names.includes(name)
}
