/**
 * The environment as a source. It holds much that is not ours, so a variable that nobody knows is at most worth a
 * warning, and the links that Kubernetes puts there for each service (`REDIS_PORT=tcp://10.0.0.1:6379`,
 * `REDIS_SERVICE_HOST`) are never taken for settings, not even where a setting has that name: a service called `app`
 * would set APP_PORT.
 */
import { editDistance } from './nearest.ts'

export type Environment = Readonly<Record<string, string | undefined>>

/** The value of a variable, trimmed; undefined where it is unset, empty, or a link to a service. */
export function readVariable(env: Environment, name: string): string | undefined {
  if (!Object.hasOwn(env, name)) return undefined
  const value = env[name]?.trim()
  return value === undefined || value === '' || isServiceLink(name, value) ? undefined : value
}

/** Was this variable made by Kubernetes (or Docker links) for a service? */
export function isServiceLink(name: string, value: string): boolean {
  if (/_SERVICE_(HOST|PORT)(_|$)/.test(name)) return true
  if (/_PORT_\d+_(TCP|UDP|SCTP)(_|$)/.test(name)) return true
  return name.endsWith('_PORT') && /^(tcp|udp|sctp):\/\//.test(value)
}

/** Prefixes that belong to others: OpenTelemetry reads dozens of OTEL_ variables of its own. */
const FOREIGN_PREFIXES: ReadonlySet<string> = new Set(['OTEL_', 'LOG_', 'NODE_'])

/** A warning for each variable that looks like a mistyped setting: the same prefix, and nearly the same rest. */
export function mistypedVariables(env: Environment, known: ReadonlySet<string>): readonly string[] {
  const byPrefix = Map.groupBy(known, prefixOf)
  const warnings: string[] = []
  for (const name of Object.keys(env)) {
    const siblings = byPrefix.get(prefixOf(name))
    if (siblings === undefined || known.has(name) || FOREIGN_PREFIXES.has(prefixOf(name))) continue
    const value = env[name]?.trim() ?? ''
    if (value === '' || isServiceLink(name, value)) continue
    const near = siblings.find((sibling) => looksLike(restOf(name), restOf(sibling)))
    if (near !== undefined) warnings.push(`env ${name} is not known; did you mean ${near}?`)
  }
  return warnings
}

/** What other programs call the address of a server, and what is read here. */
const FOREIGN_ADDRESSES = [
  { name: 'DATABASE_URL', kind: 'postgres', ours: 'POSTGRES_DSN', form: /^postgres(ql)?:/i },
  { name: 'POSTGRES_URL', kind: 'postgres', ours: 'POSTGRES_DSN', form: /./ },
  { name: 'PGHOST', kind: 'postgres', ours: 'POSTGRES_DSN', form: /./ },
  { name: 'REDIS_URL', kind: 'redis', ours: 'REDIS_ADDR', form: /./ },
] as const

/** A warning for each such variable of a kind in `unaddressed`: its components run without the server meant by it. */
export function foreignVariables(env: Environment, unaddressed: ReadonlySet<string>): readonly string[] {
  return FOREIGN_ADDRESSES.filter(({ name, kind, form }) => {
    const value = unaddressed.has(kind) ? readVariable(env, name) : undefined
    return value !== undefined && form.test(value)
  }).map(({ name, kind, ours }) => `env ${name} is not read; the address of ${kind} is set by ${ours}`)
}

function looksLike(written: string, known: string): boolean {
  // ADDRESS for ADDR. Two letters are too few to tell: POSTGRES_DB is a name of PostgreSQL's own image.
  if (known.length >= 3 && (written.startsWith(known) || (written.length >= 4 && known.startsWith(written))))
    return true
  const limit = Math.min(2, Math.floor(known.length / 3))
  return editDistance(written, known, limit) <= limit
}

function prefixOf(name: string): string {
  return name.slice(0, name.indexOf('_') + 1)
}

function restOf(name: string): string {
  return name.slice(name.indexOf('_') + 1)
}
