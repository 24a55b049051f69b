/** Limits of the HTTP server. Every one is on by default, because the first client that tests them is never a friend. */
import { durationMs, type Duration } from '../../core/duration.ts'
import { invalidArgument } from '../../core/errors.ts'
import { isHostName } from '../../core/host-name.ts'

export interface HttpOptions {
  /** `APP_BODY_LIMIT`: largest body in bytes; 413 beyond. @default 1048576 (1 MiB) */
  readonly bodyLimit?: number
  /** `APP_MAX_JSON_DEPTH`: levels of objects and arrays in a JSON body; 400 beyond. @default 100 */
  readonly maxJsonDepth?: number
  /** Largest header block in bytes; 431 beyond. @default 16384 */
  readonly maxHeaderBytes?: number
  /** Time for the header block to arrive; 408 beyond (slowloris). @default '15s' */
  readonly headersTimeout?: Duration
  /** `APP_REQUEST_TIMEOUT`: time for the whole request to arrive; 408 beyond. @default '30s' */
  readonly requestTimeout?: Duration
  /** `APP_KEEP_ALIVE_TIMEOUT`: how long an idle connection is kept: longer than the 60 s of common load balancers. @default '65s' */
  readonly keepAliveTimeout?: Duration
  /** Open connections; more are closed at once. @default 10000 */
  readonly maxConnections?: number
  /** Longest path parameter in characters; 414 beyond. @default 500 */
  readonly maxParamLength?: number
  /** Whose X-Forwarded-* headers are believed: everyone's, or those of these addresses and networks. @default nobody's */
  readonly trustProxy?: boolean | string | readonly string[]
  /**
   * Host names that are answered, on any port; 421 for others. Probes, `/health` and `/metrics` are not held to it.
   * @default those of this machine where it listens on loopback and no proxy is trusted, else 'any'
   */
  readonly hosts?: readonly string[] | 'any'
  /** Turns requests away with 503 before the process is overwhelmed. @default on */
  readonly overload?: OverloadOptions | false
  /** Serve `/openapi.json` to whoever may see detail, to everyone, or not at all. @default 'detail' */
  readonly openapi?: 'detail' | 'public' | false
}

export interface OverloadOptions {
  /** Turned away while the event loop is late by more than this. @default '300ms' */
  readonly maxLoopDelay?: Duration
  /** Turned away while memory is used beyond this share of the limit (cgroup or heap). @default 0.9 */
  readonly maxMemory?: number
}

/** Limits that are fixed when the server is made. */
export interface HttpLimits {
  readonly bodyLimit: number | undefined
  readonly maxHeaderBytes: number
  readonly headersTimeoutMs: number
  readonly maxConnections: number
  readonly maxParamLength: number
  readonly openapi: 'detail' | 'public' | false
  readonly trustProxy: boolean | string | string[]
  /** Undefined where the configuration decides. */
  readonly hosts: readonly string[] | 'any' | undefined
  readonly overload: { readonly maxLoopDelayMs: number; readonly maxMemory: number } | undefined
}

const defaults = Object.freeze({
  maxHeaderBytes: 16_384,
  headersTimeout: '15s',
  maxConnections: 10_000,
  maxParamLength: 500,
  openapi: 'detail',
} as const)

/** The limits in force. Throws SLUICE_INVALID_ARGUMENT naming the option. */
export function httpLimits(options: HttpOptions): HttpLimits {
  const given = { ...defaults, ...options }
  const { overload = {} } = options
  return {
    bodyLimit: options.bodyLimit === undefined ? undefined : positive(options.bodyLimit, 'http.bodyLimit'),
    maxHeaderBytes: positive(given.maxHeaderBytes, 'http.maxHeaderBytes'),
    headersTimeoutMs: durationMs(given.headersTimeout, 'http.headersTimeout'),
    maxConnections: positive(given.maxConnections, 'http.maxConnections'),
    maxParamLength: positive(given.maxParamLength, 'http.maxParamLength'),
    openapi: given.openapi,
    trustProxy:
      typeof options.trustProxy === 'object' ? [...options.trustProxy] : (options.trustProxy ?? false),
    hosts: options.hosts === undefined ? undefined : hostNames(options.hosts),
    overload:
      overload === false
        ? undefined
        : {
            maxLoopDelayMs: durationMs(overload.maxLoopDelay ?? '300ms', 'http.overload.maxLoopDelay'),
            maxMemory: share(overload.maxMemory ?? 0.9, 'http.overload.maxMemory'),
          },
  }
}

function positive(value: number, option: string): number {
  if (Number.isInteger(value) && value > 0) return value
  throw invalidArgument(option, 'a whole number above 0', value)
}

function hostNames(given: readonly string[] | 'any'): readonly string[] | 'any' {
  if (given === 'any') return given
  if (given.length === 0) throw invalidArgument('http.hosts', "at least one name, or 'any'", given)
  for (const name of given) {
    if (!isHostName(name))
      throw invalidArgument('http.hosts', 'names or addresses without port or scheme', name)
  }
  return [...given]
}

function share(value: number, option: string): number {
  if (value > 0 && value <= 1) return value
  throw invalidArgument(option, 'a number above 0 and at most 1', value)
}
