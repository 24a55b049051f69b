/**
 * A response as it leaves: with the id of its request, with `Connection: close` while the app drains, and measured.
 *
 * Every head passes through `_storeHeader`, which Node does not document and has had since its first versions; the tests
 * of all three promises fail should it ever go. The id joins the head there as text. As one more header it would be put
 * into a copy of what is handed over, which may be a constant that the caller shares, and be checked like any other:
 * 3 % of a hello world.
 */
import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse as NodeResponse } from 'node:http'
import { ServerResponse } from './node-http.ts'
import type { RoutedResponse, RouteMetrics } from './route-metrics.ts'

export interface ResponseOptions {
  /** True once the app stops: each response then ends its connection. */
  readonly draining: () => boolean
  /** Metrics of responses that no route claimed. Asked late, because routes come later. */
  readonly unmatched: () => RouteMetrics | undefined
}

const ID = 'x-request-id'

interface HeadWriter extends NodeResponse<IncomingMessage> {
  /** `headers` as writeHead was given them, or Node's own table of those that were set one by one. */
  _storeHeader(statusLine: string, headers: unknown): void
}
type Given = ConstructorParameters<typeof NodeResponse<IncomingMessage>>
const HeadWriter = ServerResponse as unknown as new (...given: Given) => HeadWriter

/** The class for `http.createServer`. */
export function responseClass(options: ResponseOptions): new (...given: Given) => RoutedResponse {
  const { draining, unmatched } = options
  return class Response extends HeadWriter implements RoutedResponse {
    route: RouteMetrics | undefined = undefined
    requestId: string | undefined = undefined
    readonly #beganAt = performance.now()

    // The overloads of writeHead are the caller's business; all that is given is handed on.
    override writeHead(status: number, message?: unknown, headers?: unknown): this {
      if (draining()) {
        const given = headers ?? message
        if (isHeaders(given)) {
          const closing = { ...given, connection: 'close' }
          return super.writeHead(status, typeof message === 'string' ? message : undefined, closing)
        }
        if (!this.headersSent) this.setHeader('connection', 'close')
      }
      return super.writeHead(status, message as string, headers as OutgoingHttpHeaders)
    }

    override _storeHeader(statusLine: string, headers: unknown): void {
      const { requestId } = this
      if (requestId === undefined) super._storeHeader(statusLine, headers)
      else if (this.hasHeader(ID)) {
        // What a reply passes on from another service may hold an id of that one. There is one on a response, and it is ours.
        this.setHeader(ID, requestId)
        super._storeHeader(statusLine, headers)
      } else if (isHeaders(headers) && ID in headers) {
        super._storeHeader(statusLine, { ...headers, [ID]: requestId })
      } else {
        // Nobody checks this text again: an id is plain before it becomes one.
        super._storeHeader(`${statusLine}${ID}: ${requestId}\r\n`, headers)
      }
      const seconds = (performance.now() - this.#beganAt) / 1_000
      ;(this.route ?? unmatched())?.observe(this.req.method ?? '', this.statusCode, seconds)
    }
  }
}

/** An object of headers, and neither a list of them nor a status message. */
function isHeaders(value: unknown): value is OutgoingHttpHeaders {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
