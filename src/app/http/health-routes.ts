/** The routes of the probes and of the detail behind them. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { healthCode, healthWord, READY_STATUS, type HealthReport, type Readiness } from '../health.ts'
import type { Init } from '../init.ts'
import { problem } from './problem.ts'
import { sendProblem } from './server.ts'
import type { Services } from '../services.ts'
import type { Metrics } from '../../telemetry/metric.ts'

export interface HealthRoutesOptions {
  readonly readiness: () => Readiness
  readonly started: () => boolean
  /** Undefined until the app starts. */
  readonly init: () => Init | undefined
  readonly services: Pick<Services, 'status' | 'statusOf'>
  readonly metrics: Metrics
  readonly mayDetail: (request: FastifyRequest) => boolean
  /** Is there a token, with which a refused client could come back? */
  readonly hasToken: boolean
  /** The OpenAPI document, or undefined where it is off. */
  readonly openapi: (() => Promise<object>) | undefined
  readonly openapiIsPublic: boolean
}

const JSON_TYPE = 'application/json; charset=utf-8'
const METRICS_TYPE = 'text/plain; version=0.0.4; charset=utf-8'

export function registerHealth(http: FastifyInstance, options: HealthRoutesOptions): void {
  const { readiness, started, init, services, mayDetail, openapi } = options
  const hidden = { schema: { hide: true } } as object
  const guarded = <T>(isPublic: boolean, read: (request: FastifyRequest) => T, type = JSON_TYPE) => {
    return async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
      if (!isPublic && !mayDetail(request)) return refuse(reply, options.hasToken)
      const body = await read(request)
      if (body === undefined) return sendProblem(reply, problem(404, 'NOT_FOUND', { request_id: request.id }))
      return reply.header('cache-control', 'no-store').type(type).send(body)
    }
  }

  http.get('/livez', hidden, (_request, reply) => word(reply, 200, 'ok'))
  http.get('/startupz', hidden, (_request, reply) =>
    started() ? word(reply, 200, 'ok') : word(reply, 503, 'starting'),
  )
  http.get('/readyz', hidden, (_request, reply) => {
    const state = readiness()
    return word(reply, READY_STATUS[state], state)
  })
  http.get('/health', hidden, (request, reply) => {
    const status = healthWord(readiness())
    const code = healthCode(status)
    if (!mayDetail(request)) return word(reply, code, status)
    const report: HealthReport = {
      status,
      server_ready: READY_STATUS[readiness()] === 200,
      infrastructure: init()?.status() ?? {},
      initialization_progress: init()?.progress ?? 0,
      services: services.status(),
    }
    return reply.code(code).header('cache-control', 'no-store').send(report)
  })
  http.get(
    '/health/infrastructure',
    hidden,
    guarded(false, () => init()?.status() ?? {}),
  )
  http.get(
    '/health/:name',
    hidden,
    guarded(false, (request) => {
      const { name } = request.params as { readonly name: string }
      return init()?.statusOf(name) ?? services.statusOf(name)
    }),
  )
  http.get(
    '/metrics',
    hidden,
    guarded(false, () => options.metrics.expose(), METRICS_TYPE),
  )
  if (openapi !== undefined) http.get('/openapi.json', hidden, guarded(options.openapiIsPublic, openapi))
}

/** One word, the same bytes for everyone. */
function word(reply: FastifyReply, code: number, status: string): FastifyReply {
  return reply
    .code(code)
    .header('cache-control', 'no-store')
    .header('content-type', JSON_TYPE)
    .serializer(String)
    .send(`{"status":"${status}"}`)
}

function refuse(reply: FastifyReply, hasToken: boolean): FastifyReply {
  const request_id = reply.request.id
  if (!hasToken) {
    const detail = 'Detail is for this machine only; see health.token and health.detail.'
    return sendProblem(reply, problem(403, 'FORBIDDEN', { detail, request_id }))
  }
  void reply.header('www-authenticate', 'Bearer')
  return sendProblem(reply, problem(401, 'UNAUTHORIZED', { detail: 'A bearer token is needed.', request_id }))
}
