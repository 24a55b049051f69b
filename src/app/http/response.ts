/**
 * A response as it leaves: with the id of its request, with `Connection: close` while the app drains, and measured; and
 * with the end of its request.
 *
 * Every head passes through `_storeHeader`, which Node does not document and has had since its first versions; the tests
 * of all three promises fail should it ever go. The id joins the head there as text. As one more header it would be put
 * into a copy of what is handed over, which may be a constant that the caller shares, and be checked like any other:
 * 3 % of a hello world.
 */
import type { IncomingMessage, ServerResponse as NodeResponse } from 'node:http'
import { hasGiven, withoutGiven, type GivenHeaders } from './given-headers.ts'
import { ServerResponse } from './node-http.ts'
import type { ResponseMetrics, ServedResponse } from './served.ts'
import { closeUnheard } from './unheard.ts'

export interface ResponseOptions {
  /** True once the app stops: each response then ends its connection. */
  readonly draining: () => boolean
  /** Metrics of responses that no route claimed. Asked late, because routes come later. */
  readonly unmatched: () => ResponseMetrics | undefined
}

const ID = 'x-request-id'

interface HeadWriter extends ServedResponse {
  _storeHeader(statusLine: string, headers: GivenHeaders): void
}
type Given = ConstructorParameters<typeof NodeResponse<IncomingMessage>>
const HeadWriter = ServerResponse as unknown as new (...given: Given) => HeadWriter

/** The class for `http.createServer`. */
export function responseClass(options: ResponseOptions): new (...given: Given) => ServedResponse {
  const { draining, unmatched } = options
  return class Response extends HeadWriter {
    override end(...given: unknown[]): this {
      super.end(...(given as []))
      closeUnheard(this.req)
      return this
    }

    override _storeHeader(statusLine: string, given: GivenHeaders): void {
      const headers = draining() ? lastOf(this, given) : given
      const { served } = this
      if (served === undefined) {
        super._storeHeader(statusLine, headers)
        return
      }
      // Nobody checks this text again: an id is plain before it becomes one.
      const withId = `${statusLine}${ID}: ${served.requestId}\r\n`
      if (!hasGiven(headers, ID)) super._storeHeader(withId, headers)
      // What a reply passes on from another service may hold an id of that one. There is one on a response, and it is ours.
      else if (!this.hasHeader(ID)) super._storeHeader(withId, withoutGiven(headers, ID))
      else {
        this.setHeader(ID, served.requestId)
        super._storeHeader(statusLine, headers)
      }
      const route = served.route ?? unmatched()
      route?.observe(this.req.method ?? '', this.statusCode, (performance.now() - served.beganAt) / 1_000)
    }
  }
}

/** Makes a response the last one of its connection, whatever its headers say of that; gives the headers to write. */
function lastOf(response: HeadWriter, headers: GivenHeaders): GivenHeaders {
  if (!hasGiven(headers, 'connection')) response.shouldKeepAlive = false
  // Then these are Node's own table of them.
  else if (response.hasHeader('connection')) response.setHeader('connection', 'close')
  else {
    response.shouldKeepAlive = false
    return withoutGiven(headers, 'connection')
  }
  return headers
}
