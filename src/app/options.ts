/** What `createApp` takes. Where an option has a name in the configuration too, code wins. */
import type { HttpOptions } from './http/options.ts'
import type { Components, UserSchemas } from './service.ts'
import type { Gate } from './health.ts'
import { durationMs, type Duration } from '../core/duration.ts'
import { invalidArgument } from '../core/errors.ts'
import type { Clock } from '../core/clock.ts'
import type { Logger } from '../telemetry/log.ts'

export interface AppOptions<C extends Components, S extends UserSchemas = UserSchemas> {
  /** Name of the service in logs, metrics and key prefixes: lower-case letters, digits and `-`, at most 63. */
  readonly name: string
  /** Components by the name that services take them by. @default {} */
  readonly components?: C
  /** Sections of the configuration of your own, each a Standard Schema; services read them as `config`. @default {} */
  readonly settings?: S
  /** Values as sluice.yaml would hold them, keys in camelCase; they win over environment and file. @default {} */
  readonly config?: Readonly<Record<string, unknown>>
  /** Path of the configuration file; false for none. @default SLUICE_CONFIG, else ./sluice.yaml where it exists */
  readonly configFile?: string | false
  /** @default process.env */
  readonly env?: Readonly<Record<string, string | undefined>>
  /** `APP_PORT`; 0 takes any free port. @default 8080 */
  readonly port?: number
  /** `APP_HOST`: the address to listen on. @default '0.0.0.0' */
  readonly host?: string
  readonly http?: HttpOptions
  readonly health?: HealthOptions
  readonly shutdown?: ShutdownOptions
  /** Any logger of pino's call shape. @default pino on standard output, loaded once the port is open */
  readonly logger?: Logger
  /** Time; tests hand in a manual clock. @default the system's */
  readonly clock?: Clock
  /** Uniform in [0, 1), for jitter. @default Math.random */
  readonly random?: () => number
}

export function checkName(name: string): string {
  if (typeof name === 'string' && /^[a-z][a-z0-9-]{0,62}$/.test(name)) return name
  throw invalidArgument('name', 'lower-case letters, digits and "-", a letter first, at most 63', name)
}

export interface HealthOptions {
  /** What each component means for /readyz. @default 'startup' for all */
  readonly gates?: Readonly<Record<string, Gate>>
  /** How long /readyz waits for components gated at startup and for services to start; then the app is ready, and degraded. @default '30s' */
  readonly maxStartup?: Duration
  /** Between two background checks of a component, ± 10 %. @default '5s' */
  readonly interval?: Duration
  /** Deadline of one check. @default '2s' */
  readonly timeout?: Duration
  /** Failures in a row until a component is down. @default 3 */
  readonly downAfter?: number
  /** Successes in a row until it is up again. @default 2 */
  readonly upAfter?: number
  /** Who sees detail (`/health` in full, `/metrics`, `/openapi.json`): this machine, everyone, or bearers of `token` only. @default 'local' */
  readonly detail?: 'local' | 'public' | 'token'
  /** `Authorization: Bearer <token>` sees detail from anywhere; at least 16 characters. @default none */
  readonly token?: string
  /** Host names by which this machine may be asked for detail, besides `localhost` and loopback addresses. @default [] */
  readonly hosts?: readonly string[]
}

export interface ShutdownOptions {
  /** `APP_SHUTDOWN_TIMEOUT`: everything is over by then. Keep it below the grace period of the platform. @default '25s' */
  readonly budget?: Duration
  /** `APP_DRAIN_DELAY`: how long requests are served as ever after the signal, while balancers learn. @default '5s' in Kubernetes, else 0 */
  readonly drainDelay?: Duration
  /** For requests under way to finish. @default '10s' */
  readonly httpTimeout?: Duration
  /** For the `stop` of each service, and for background work and pools to finish. @default '10s' */
  readonly workTimeout?: Duration
  /** For each component to close. @default '2s' */
  readonly closeTimeout?: Duration
  /** `app.run()` ends the process when the event loop has not turned for this long; false for never. @default the budget */
  readonly maxStall?: Duration | false
  /** SIGHUP, as of a terminal that closes, stops `app.run()` as SIGTERM does; false leaves that signal to the program. @default true */
  readonly hangup?: boolean
}

/** What is checked when the app is created; what the configuration decides comes with it. */
export interface ResolvedHealth {
  readonly gates: Readonly<Record<string, Gate>>
  readonly downAfter: number
  readonly upAfter: number
  readonly detail: 'local' | 'public' | 'token'
  readonly token: string | undefined
  readonly hosts: readonly string[]
}

const GATES: readonly string[] = ['startup', 'always', 'never'] satisfies Gate[]
const MIN_TOKEN = 16

export function resolveHealth(options: HealthOptions, components: readonly string[]): ResolvedHealth {
  for (const [name, gate] of Object.entries(options.gates ?? {})) {
    if (!components.includes(name)) {
      throw invalidArgument(`health.gates.${name}`, `one of the components (${components.join(', ')})`, name)
    }
    if (!GATES.includes(gate)) throw invalidArgument(`health.gates.${name}`, GATES.join(', '), gate)
  }
  const { token, detail = 'local' } = options
  // The value itself is not shown: it is a secret, if a short one.
  if (token !== undefined && token.length < MIN_TOKEN) {
    throw invalidArgument('health.token', `at least ${MIN_TOKEN} characters`, `${token.length} of them`)
  }
  if (detail === 'token' && token === undefined) {
    throw invalidArgument('health.token', "a token, since health.detail is 'token'", undefined)
  }
  return {
    gates: options.gates ?? {},
    downAfter: atLeastOne(options.downAfter ?? 3, 'health.downAfter'),
    upAfter: atLeastOne(options.upAfter ?? 2, 'health.upAfter'),
    detail,
    token,
    hosts: options.hosts ?? [],
  }
}

export interface ShutdownLimits {
  readonly httpMs: number
  readonly workMs: number
  readonly closeMs: number
  /** Undefined: as long as the budget. Infinity: never. */
  readonly maxStallMs: number | undefined
  /** Does SIGHUP stop the app? */
  readonly hangup: boolean
}

export function resolveShutdown(options: ShutdownOptions): ShutdownLimits {
  const { maxStall, hangup = true } = options
  if (typeof hangup !== 'boolean') throw invalidArgument('shutdown.hangup', 'true or false', hangup)
  return {
    httpMs: durationMs(options.httpTimeout ?? '10s', 'shutdown.httpTimeout'),
    workMs: durationMs(options.workTimeout ?? '10s', 'shutdown.workTimeout'),
    closeMs: durationMs(options.closeTimeout ?? '2s', 'shutdown.closeTimeout'),
    maxStallMs:
      maxStall === undefined
        ? undefined
        : maxStall === false
          ? Infinity
          : durationMs(maxStall, 'shutdown.maxStall'),
    hangup,
  }
}

function atLeastOne(value: number, option: string): number {
  if (Number.isInteger(value) && value >= 1) return value
  throw invalidArgument(option, 'a whole number of at least 1', value)
}
