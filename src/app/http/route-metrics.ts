/**
 * `http_server_request_duration_seconds` by method, route and status, from the first byte to the response's head.
 * The route is its pattern, never the address that was asked for, so that no client can make new series.
 */
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { ResponseMetrics, ServedResponse } from './served.ts'
import type { HistogramCell, Metrics } from '../../telemetry/metric.ts'

const METHODS: ReadonlySet<string> = new Set(['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD', 'OPTIONS'])

/** Cells of one route, made when a method and status first occur; a hot route finds its own by two map reads. */
export class RouteMetrics implements ResponseMetrics {
  readonly #make: (method: string, status: number) => HistogramCell
  readonly #cells = new Map<string, Map<number, HistogramCell>>()
  // Nearly every response of a route is like the one before it.
  #method: string | undefined
  #status = 0
  #cell: HistogramCell | undefined

  constructor(make: (method: string, status: number) => HistogramCell) {
    this.#make = make
  }

  observe(method: string, status: number, seconds: number): void {
    if (method !== this.#method || status !== this.#status || this.#cell === undefined) {
      this.#cell = this.#find(METHODS.has(method) ? method : 'other', status)
      this.#method = method
      this.#status = status
    }
    this.#cell.observe(seconds)
  }

  #find(method: string, status: number): HistogramCell {
    let byStatus = this.#cells.get(method)
    if (byStatus === undefined) this.#cells.set(method, (byStatus = new Map()))
    let cell = byStatus.get(status)
    if (cell === undefined) byStatus.set(status, (cell = this.#make(method, status)))
    return cell
  }
}

/** Where a route's own cells are found. */
const CELLS = Symbol('route metrics')

/**
 * Files each response under its route; gives the cells of requests that no route took. Called before any other hook is
 * added: whoever answers in a hook, a gate that is closed or the user's own check of a token, answers for that route.
 */
export function observeRoutes(http: FastifyInstance, metrics: Metrics): RouteMetrics {
  const family = metrics.histogram(
    'http_server_request_duration_seconds',
    'From the first byte of a request to the head of its response.',
  )
  const cellsOf = (route: string): RouteMetrics =>
    new RouteMetrics((method, status) => family.with({ method, route, status: String(status) }))
  http.addHook('onRoute', (route) => {
    route.config = Object.assign({}, route.config, { [CELLS]: cellsOf(route.url) })
  })
  const configOf = configReader()
  http.addHook('onRequest', (request, reply, done) => {
    const { served } = reply.raw as ServedResponse
    if (served !== undefined) served.route = configOf(request)[CELLS]
    done()
  })
  return cellsOf('unmatched')
}

interface ObservedConfig {
  readonly [CELLS]?: RouteMetrics
}

/**
 * Reads what `request.routeOptions.config` is, without the object of twelve fields that Fastify makes whenever it is asked
 * for `routeOptions`. Where the config really lies is looked for once, under one of the request's symbols; a Fastify
 * that keeps it elsewhere is asked in the open way.
 */
function configReader(): (request: FastifyRequest) => ObservedConfig {
  let place: symbol | undefined
  let isLookedFor = false
  return (request) => {
    const held = request as unknown as Readonly<Record<symbol, { readonly config: ObservedConfig }>>
    if (place !== undefined) return held[place]!.config
    const config = request.routeOptions.config as ObservedConfig
    if (!isLookedFor) {
      isLookedFor = true
      place = Object.getOwnPropertySymbols(request).find((symbol) => held[symbol]?.config === config)
    }
    return config
  }
}
