/**
 * Ends the stream of a request without a body together with its response, where nobody listens to it.
 *
 * Node drains each request once it is answered: `resume`, `end`, `destroy` and `close` of a stream that never had a byte,
 * over several turns, a tenth of a hello world. Its option `optimizeEmptyRequests` leaves that out, but from the
 * beginning, so that a client that goes away while it is served is never told of. Here it is left out at the end, and only
 * where there is no listener that could see a difference.
 */
import type { IncomingMessage } from 'node:http'

/** What that option uses, and the number of listeners of any kind. A Node.js without them drains as ever. */
interface Internals {
  _dumpAndCloseReadable?(): void
  readonly _eventsCount?: number
}

/** Called when the response has been handed over. */
export function closeUnheard(request: IncomingMessage & Internals): void {
  if (request._eventsCount !== 0) return
  const { headers } = request
  if (headers['content-length'] !== undefined || headers['transfer-encoding'] !== undefined) return
  request._dumpAndCloseReadable?.()
}
