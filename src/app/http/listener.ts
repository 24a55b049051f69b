/**
 * What happens to a request before Fastify sees it: the context (request id, trace), and the refusal of work while the
 * process is overwhelmed. What happens to a response as it leaves is in response.ts.
 *
 * It sits in the function that Node calls once a request and in a ServerResponse of ours, and not in Fastify hooks,
 * which cost several times as much: the whole of it must stay within 5 % of a hello world, half a microsecond.
 */
import type {
  IncomingMessage,
  OutgoingHttpHeaders,
  RequestListener,
  ServerResponse as NodeResponse,
} from 'node:http'
import { randomBytes } from 'node:crypto'
import type { HostRule } from './hosts.ts'
import type { ServerResponse } from './node-http.ts'
import { problem, PROBLEM_TYPE } from './problem.ts'
import { responseClass, type ResponseOptions } from './response.ts'
import type { Served, ServedResponse } from './served.ts'
import { currentContext, enterContext, runInContext } from '../../telemetry/context.ts'
import { hasTraceSdk } from '../../telemetry/otel-api.ts'
import { runInTrace, startSpan } from '../../telemetry/trace.ts'

export interface ListenerOptions extends ResponseOptions {
  /** Seconds after which a client may come back, while the process takes no more; undefined when it does. */
  readonly shedding: () => number | undefined
  /** Which names are answered; undefined for any. Asked late, because the configuration decides. */
  readonly hosts: () => HostRule | undefined
}

export interface Listener {
  /** For `http.createServer`. */
  readonly Response: typeof ServerResponse
  /** Puts all of this around Fastify's own listener. */
  wrap(handler: RequestListener): RequestListener
  /** Requests so far. */
  readonly requests: number
  /** The id of a request, for Fastify. */
  readonly requestId: (request: IncomingMessage) => string
}

/**
 * These are answered whatever happens and by any name: an orchestrator that cannot see the app restarts it, which helps
 * nobody, and asks by address; an operator needs to see it most while it is overwhelmed.
 */
const ALWAYS: ReadonlySet<string> = new Set(['/livez', '/readyz', '/startupz', '/health', '/metrics'])

function isAlways(url: string): boolean {
  const path = url.split('?', 1)[0] ?? ''
  return ALWAYS.has(path) || path.startsWith('/health/')
}

export function createListener(options: ListenerOptions): Listener {
  const { shedding, hosts } = options
  const Response = responseClass(options)
  const nextId = requestIds()
  let requests = 0

  const idOf = (request: IncomingMessage): string => {
    const given = request.headers['x-request-id']
    return typeof given === 'string' && PLAIN_ID.test(given) ? given : nextId()
  }
  return {
    // Its heads are typed more loosely than Node's many overloads, and handed on.
    Response: Response as unknown as typeof ServerResponse,
    get requests() {
      return requests
    },
    requestId: (request) => currentContext()?.requestId ?? idOf(request),
    wrap: (handler) => (request, response) => {
      requests++
      const traceparent = request.headers['traceparent']
      const served: Served = {
        requestId: idOf(request),
        traceparent: typeof traceparent === 'string' ? traceparent : undefined,
        beganAt: performance.now(),
        route: undefined,
      }
      ;(response as ServedResponse).served = served
      const retryAfter = shedding()
      if (retryAfter !== undefined && !isAlways(request.url ?? '')) {
        refuse(request, response, OVERLOADED, { 'retry-after': String(retryAfter) })
        return
      }
      const rule = hosts()
      if (rule !== undefined && !rule(request.headers.host) && !isAlways(request.url ?? '')) {
        refuse(request, response, MISDIRECTED)
        return
      }
      if (hasTraceSdk()) runInContext(served, () => traced(request, response, handler))
      else if (response instanceof Response && currentContext() === undefined) {
        // Made by Node's parser, which takes the context back when this returns.
        enterContext(served)
        handler(request, response)
      } else runInContext(served, () => handler(request, response))
    },
  }
}

/** One span a request, child of the caller's. Only where an SDK is registered. */
function traced(
  request: Parameters<RequestListener>[0],
  response: Parameters<RequestListener>[1],
  handler: RequestListener,
): void {
  runInTrace(currentContext()?.traceparent, () => {
    const method = request.method ?? ''
    const span = startSpan(method, { kind: 'server', attributes: { 'http.request.method': method } })
    if (span === undefined) {
      handler(request, response)
      return
    }
    response.once('close', () => {
      span.set('http.response.status_code', response.statusCode)
      span.end(response.statusCode >= 500 ? new Error(`status ${response.statusCode}`) : undefined)
    })
    span.run(() => handler(request, response))
  })
}

interface Refusal {
  readonly status: number
  readonly body: Buffer
}

const OVERLOADED = refusal(503, 'OVERLOADED', 'The service is overloaded; ask again later.')
const MISDIRECTED = refusal(
  421,
  'MISDIRECTED_REQUEST',
  'This service does not answer to that host name; http.hosts lists those that it does.',
)

function refusal(status: number, code: string, detail: string): Refusal {
  return { status, body: Buffer.from(JSON.stringify(problem(status, code, { detail }))) }
}

/** Says no as cheaply as it can be said: nothing is parsed, routed or logged. */
function refuse(
  request: IncomingMessage,
  response: NodeResponse,
  { status, body }: Refusal,
  headers: OutgoingHttpHeaders = {},
): void {
  response.writeHead(status, {
    ...headers,
    'content-type': PROBLEM_TYPE,
    'content-length': body.length,
    // A body that was not read would be taken for the next request.
    ...(hasBody(request) && { connection: 'close' }),
  })
  response.end(body)
}

function hasBody(request: IncomingMessage): boolean {
  return request.headers['content-length'] !== undefined || request.headers['transfer-encoding'] !== undefined
}

/** Ids that differ between processes and requests: a random prefix and a counter. */
function requestIds(): () => string {
  const prefix = `${randomBytes(4).toString('hex')}-`
  let count = 0
  return () => prefix + ++count
}

/** An id that came in is kept when it is short and plain, for it goes into logs and back out in a header. */
const PLAIN_ID = /^[\w.:/+=@-]{1,128}$/
