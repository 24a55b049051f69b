/** The HTTP server: Fastify behind our listener, with limits that are on, and errors as problem+json. */
import type { RequestListener, Server } from 'node:http'
import { Server as NetServer, type Socket } from 'node:net'
import { fastify, type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import { limitBodies } from './body.ts'
import { compilersFactory } from './compilers.ts'
import { hostRule, type HostRule } from './hosts.ts'
import { createListener, type ListenerOptions } from './listener.ts'
import { createServer, STATUS_CODES } from './node-http.ts'
import type { HttpLimits } from './options.ts'
import { answerFor, problem, PROBLEM_TYPE, type Problem } from './problem.ts'
import { isSluiceError } from '../../core/errors.ts'
import type { Logger } from '../../telemetry/log.ts'

export interface ServerOptions extends Omit<ListenerOptions, 'hosts'> {
  readonly limits: HttpLimits
  readonly log: Logger
  /** Milliseconds until the next attempt to connect a component. */
  readonly reconnectMs: (component: string) => number
}

/** Limits that the configuration decides. */
export interface LateLimits {
  readonly bodyLimit: number
  readonly maxJsonDepth: number
  readonly requestTimeoutMs: number
  readonly keepAliveTimeoutMs: number
  /** Address that it listens on. */
  readonly host: string
  /** Host names that are answered; undefined where none are listed. */
  readonly hosts: readonly string[] | 'any' | undefined
}

export interface AppServer {
  readonly fastify: FastifyInstance
  readonly server: Server
  /** Connections that are open and speak HTTP. */
  readonly connections: number
  /** Connections that were taken so far. */
  readonly accepted: number
  /** New connections are taken: until `stopAccepting`. */
  readonly accepting: boolean
  /** Connections that were upgraded, to WebSocket mostly; HTTP knows no end of them. */
  readonly upgraded: number
  cutUpgraded(): void
  /** Requests so far. */
  readonly requests: number
  /**
   * Closes the listening socket alone; `http.Server.close` would cut idle connections in the same breath. Idempotent.
   */
  stopAccepting(): void
  /** Applies the configuration: to the server, and to the routes that are registered from now on. */
  configure(limits: LateLimits): void
}

/** Characters of an unknown path that its answer repeats. */
const MAX_PATH_SHOWN = 200
/** How often timeouts of headers and requests are looked for. */
const CHECK_TIMEOUTS_MS = 2_000

export function createHttpServer(options: ServerOptions): AppServer {
  const { limits } = options
  let rule: HostRule | undefined
  const listener = createListener({ ...options, hosts: () => rule })
  const sockets = new Set<Socket>()
  const upgraded = new Set<Socket>()
  let accepted = 0
  let accepting = true
  const server = createServer({
    ServerResponse: listener.Response,
    maxHeaderSize: limits.maxHeaderBytes,
    connectionsCheckingInterval: Math.max(20, Math.min(CHECK_TIMEOUTS_MS, limits.headersTimeoutMs / 2)),
  })
  server.maxConnections = limits.maxConnections
  server.on('connection', (socket: Socket) => {
    accepted++
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  watchUpgrades(server, (socket) => {
    if (!sockets.delete(socket)) return
    upgraded.add(socket)
    socket.once('close', () => upgraded.delete(socket))
  })
  const app: FastifyInstance = fastify({
    serverFactory: (handler: RequestListener) => server.on('request', listener.wrap(handler)),
    logger: false,
    ...(limits.bodyLimit !== undefined && { bodyLimit: limits.bodyLimit }),
    routerOptions: { maxParamLength: limits.maxParamLength },
    // While the app drains, requests are served as ever: a client that is turned away now is a failed request.
    return503OnClosing: false,
    forceCloseConnections: false,
    trustProxy: limits.trustProxy,
    genReqId: listener.requestId,
    frameworkErrors: (error, request, reply) => sendError(options, error, request, reply),
    clientErrorHandler: refuseSocket,
    // Typed for ajv alone; what it is given and must give back is in compilers.ts.
    schemaController: { compilersFactory: compilersFactory() as never },
  })
  // Injected requests are served before `configure`.
  let jsonDepth = 100
  limitBodies(app, () => jsonDepth)
  app.setErrorHandler((error, request, reply) => sendError(options, error, request, reply))
  app.setNotFoundHandler((request, reply) => {
    const path = (request.url.split('?', 1)[0] ?? '').slice(0, MAX_PATH_SHOWN)
    const detail = `There is no route ${request.method} ${path}.`
    void sendProblem(reply, problem(404, 'NOT_FOUND', { detail, request_id: request.id }))
  })
  return {
    fastify: app,
    server,
    get connections() {
      return sockets.size
    },
    get accepted() {
      return accepted
    },
    get upgraded() {
      return upgraded.size
    },
    cutUpgraded() {
      for (const socket of upgraded) socket.destroy()
    },
    get requests() {
      return listener.requests
    },
    get accepting() {
      return accepting
    },
    stopAccepting() {
      accepting = false
      NetServer.prototype.close.call(server)
    },
    configure({ bodyLimit, maxJsonDepth, requestTimeoutMs, keepAliveTimeoutMs, host, hosts: listed }) {
      rule = hostRule({ hosts: limits.hosts ?? listed, trustProxy: limits.trustProxy, address: host })
      jsonDepth = maxJsonDepth
      server.requestTimeout = requestTimeoutMs
      server.headersTimeout = Math.min(limits.headersTimeoutMs, requestTimeoutMs)
      server.keepAliveTimeout = keepAliveTimeoutMs
      app.addHook('onRoute', (route) => {
        route.bodyLimit ??= bodyLimit
      })
    },
  }
}

/** Tells of each upgraded connection. A listener of ours alone would make Node take upgrades that nobody serves. */
function watchUpgrades(server: Server, onUpgrade: (socket: Socket) => void): void {
  const watch = (event: string | symbol): void => {
    if (event !== 'upgrade') return
    server.off('newListener', watch)
    server.prependListener('upgrade', (_request: unknown, socket: Socket) => {
      if (server.listenerCount('upgrade') === 1) socket.destroy()
      else onUpgrade(socket)
    })
  }
  server.on('newListener', watch)
}

function sendError(
  { log, reconnectMs }: ServerOptions,
  error: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
): void {
  const facts = { requestId: request.id, method: request.method, route: request.routeOptions.url }
  if (isOfBody(error, request)) {
    // Whoever went away while sending is no news.
    log[request.raw.destroyed ? 'debug' : 'warn']({ err: error, ...facts }, 'a body could not be read')
    void sendProblem(reply, problem(400, 'BODY_UNREADABLE', { detail: UNREADABLE, request_id: request.id }))
    return
  }
  const answer = answerFor(error, request.id, reconnectMs)
  if (answer.unexpected) log.error({ err: error, ...facts }, 'a route failed')
  else if (isSluiceError(error)) log.debug({ err: error, ...facts }, 'a route was refused by a dependency')
  if (answer.retryAfter !== undefined) void reply.header('retry-after', answer.retryAfter)
  void sendProblem(reply, answer.problem)
}

const UNREADABLE = 'The body could not be read to its end.'

/** Fastify gives the error of a body's stream this status, and nothing else that tells where it comes from. */
function isOfBody(error: unknown, { body, headers }: FastifyRequest): boolean {
  if (body !== undefined || !(error instanceof Error) || isSluiceError(error)) return false
  const {
    statusCode,
    expose,
    code = '',
  } = error as { statusCode?: unknown; expose?: unknown; code?: unknown }
  if (statusCode !== 400 || expose === true || String(code).startsWith('FST_')) return false
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length']) > 0
}

export function sendProblem(reply: FastifyReply, body: Problem): FastifyReply {
  return reply.code(body.status).header('content-type', PROBLEM_TYPE).serializer(JSON.stringify).send(body)
}

const SOCKET_ERRORS: Readonly<Record<string, number>> = {
  HPE_HEADER_OVERFLOW: 431,
  HPE_CHUNK_EXTENSIONS_OVERFLOW: 413,
  ERR_HTTP_REQUEST_TIMEOUT: 408,
}

/** Answers what is not even HTTP, as far as the socket still can. */
function refuseSocket(error: Error & { code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || socket.destroyed) return
  const status = SOCKET_ERRORS[error.code ?? ''] ?? 400
  const title = STATUS_CODES[status] ?? 'Bad Request'
  const body = JSON.stringify(problem(status, title.toUpperCase().replaceAll(/[^A-Z]+/g, '_')))
  if (socket.writable) {
    socket.write(
      `HTTP/1.1 ${status} ${title}\r\ncontent-type: ${PROBLEM_TYPE}\r\n` +
        `content-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
    )
  }
  socket.destroySoon()
}
